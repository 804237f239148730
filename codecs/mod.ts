/**
 * Codecs for `@abe/mq` besides JSON: tagged JSON and MessagePack, each the same on Deno, Bun and Node, and safe on what anybody may have sent.
 *
 * @example
 * ```ts
 * import { MessageQueue } from "@abe/mq";
 * import { MemoryBackend } from "@abe/mq/memory";
 * import { devalueCodec, msgpackCodec } from "@abe/mq-codecs";
 *
 * // Writes MessagePack, and reads JSON and tagged JSON too.
 * await using mq = new MessageQueue(new MemoryBackend(), { codec: msgpackCodec(), codecs: [devalueCodec()] });
 * await mq.publish("a", { bytes: new Uint8Array([1, 2]) });
 * ```
 *
 * @module
 */

export { devalueCodec, type DevalueOptions } from "./devalue.ts";
export { msgpackCodec, type MsgpackOptions } from "./msgpack.ts";
