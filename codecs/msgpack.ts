/**
 * MessagePack: bytes, about as short as compact JSON and quicker to read where there is much binary data.
 *
 * @module
 */

import { type BytesCodec, MessageQueueError, type Payload } from "@abe/mq";
import { decode as decodeBytes, encode as encodeBytes, ExtensionCodec } from "@msgpack/msgpack";
import { checkStructure, extensions, type StructureBounds } from "./structure.ts";

/** Bounds of {@linkcode msgpackCodec}; what is beyond them is neither written nor read. */
export interface MsgpackOptions {
  /**
   * Levels of nesting; a `Map` or `Set` counts as two.
   *
   * @default {100}
   */
  readonly maxDepth?: number;
}

const maxBigIntBytes = 4_096;

/**
 * A codec that writes MessagePack, by npm `@msgpack/msgpack`.
 *
 * It holds what JSON does and bytes (`Uint8Array`; a `Buffer` arrives as one), `Date` (the format's own timestamp), `Map`, `Set` and `BigInt`
 * (extensions 1 to 3: an array of keys and values in turn, an array of values, and a sign byte, 0 or 1, before the magnitude with its most
 * significant byte first). As in JSON, a member that is `undefined` is left out, elsewhere it becomes `null`. It refuses what would arrive as
 * something else: functions, symbols, other typed arrays, `RegExp`, `Error` and other built-in objects.
 *
 * @param options Bounds.
 * @returns The codec, for the options `codec` and `codecs` of a queue.
 *
 * @example
 * ```ts
 * import { MessageQueue } from "@abe/mq";
 * import { MemoryBackend } from "@abe/mq/memory";
 * import { msgpackCodec } from "@abe/mq-codecs/msgpack";
 *
 * await using mq = new MessageQueue(new MemoryBackend(), { codec: msgpackCodec() });
 * await mq.publish("image.made", { png: new Uint8Array([137, 80, 78, 71]), at: new Date(0) });
 * for await (const payload of mq.consume<{ png: Uint8Array; at: Date }>()) {
 *   console.assert(payload.png[0] === 137 && payload.at.getTime() === 0);
 *   break;
 * }
 * ```
 */
export function msgpackCodec(options: MsgpackOptions = {}): BytesCodec {
  const bounds: StructureBounds = { maxDepth: options.maxDepth ?? 100, maxBigIntBytes };
  return {
    contentType: "application/vnd.msgpack",
    kind: "bytes",
    encode: (payload) => encode(payload, bounds),
    decode: (body) => decode(body, bounds),
  };
}

function encode(payload: Payload, bounds: StructureBounds): Uint8Array {
  try {
    if (typeof payload !== "object" || payload === null) throw new TypeError("A payload is an object or an array");
    const bytes = write(payload);
    // What would not be read is not written.
    checkStructure(bytes, bounds);
    return bytes;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new MessageQueueError("invalid_payload", `Cannot publish a payload as MessagePack: ${why}`, { cause: error });
  }
}

function decode(body: Uint8Array, bounds: StructureBounds): Payload {
  checkStructure(body, bounds);
  return read(body) as Payload;
}

// Bounds are held by the structure check; the library's own would end at 100 levels inside each extension.
function write(value: unknown): Uint8Array<ArrayBuffer> {
  return encodeBytes(value, { extensionCodec, ignoreUndefined: true, maxDepth: 1_000 });
}

function read(bytes: Uint8Array): unknown {
  return decodeBytes(bytes, { extensionCodec });
}

class StrictExtensions extends ExtensionCodec {
  override tryToEncode(value: unknown, context: undefined): ReturnType<ExtensionCodec["tryToEncode"]> {
    refuse(value);
    return super.tryToEncode(value, context);
  }
}

// The library writes the members of any object; a built-in one has none, and would arrive empty.
function refuse(value: unknown): void {
  if (typeof value === "bigint") return;
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (value instanceof Date && Number.isNaN(value.getTime())) throw new TypeError("Cannot write an invalid Date");
  if (kind === "Object" && Object.hasOwn(Object(value), "__proto__")) {
    throw new TypeError("Cannot write a member __proto__");
  }
  if (/^(?:Object|Array|Uint8Array|Map|Set|Date|Function|Symbol)$/.test(kind)) return;
  throw new TypeError(`Cannot write a ${kind}`);
}

const extensionCodec = new StrictExtensions();

extensionCodec.register({
  type: extensions.map,
  encode: (value) => value instanceof Map ? write(Array.from(value).flat(1)) : null,
  decode: (data) => {
    const flat = list(read(data));
    const map = new Map<unknown, unknown>();
    for (let i = 0; i < flat.length; i += 2) map.set(flat[i], flat[i + 1]);
    return map;
  },
});

extensionCodec.register({
  type: extensions.set,
  encode: (value) => value instanceof Set ? write(Array.from(value)) : null,
  decode: (data) => new Set(list(read(data))),
});

extensionCodec.register({
  type: extensions.bigint,
  encode: (value) => typeof value === "bigint" ? bytesOf(value) : null,
  decode: (data) => {
    const [sign, ...magnitude] = data;
    const hex = magnitude.map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const value = BigInt(`0x${hex === "" ? "0" : hex}`);
    return sign === 1 ? -value : value;
  },
});

function bytesOf(value: bigint): Uint8Array {
  const hex = (value < 0n ? -value : value).toString(16);
  const padded = hex.length % 2 === 0 ? hex : `0${hex}`;
  const bytes = new Uint8Array(1 + padded.length / 2);
  bytes[0] = value < 0n ? 1 : 0;
  for (let i = 1; i < bytes.length; i++) bytes[i] = Number.parseInt(padded.slice(2 * i - 2, 2 * i), 16);
  return bytes;
}

function list(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  throw new TypeError("A Map or Set holds no array");
}
