/**
 * Tagged JSON: JSON text that also holds `Map`, `Set`, `Date`, `BigInt`, `undefined`, bytes, and objects that refer to each other.
 *
 * @module
 */

import { MessageQueueError, type Payload, type TextCodec } from "@abe/mq";
import { parse, stringify } from "devalue";
import { checkFlat, type FlatBounds, viewTag } from "./flat.ts";

/** Bounds of {@linkcode devalueCodec}; what is beyond them is neither written nor read. */
export interface DevalueOptions {
  /**
   * Levels of nesting.
   *
   * @default {100}
   */
  readonly maxDepth?: number;
}

const maxDigits = 10_000;
const maxSparse = 10_000;

/**
 * A codec that writes tagged JSON, in the format of npm `devalue`.
 *
 * It holds what JSON does and `Map`, `Set`, `Date`, `BigInt`, `undefined`, `NaN`, infinities, `-0`, `ArrayBuffer`, typed arrays (a `Buffer`
 * arrives as `Uint8Array`), objects without a prototype, arrays with holes, repeated references and cycles. It refuses everything else:
 * functions, symbols, instances of classes, `RegExp`, `URL`.
 *
 * @param options Bounds.
 * @returns The codec, for the options `codec` and `codecs` of a queue.
 *
 * @example
 * ```ts
 * import { MessageQueue } from "@abe/mq";
 * import { MemoryBackend } from "@abe/mq/memory";
 * import { devalueCodec } from "@abe/mq-codecs/devalue";
 *
 * await using mq = new MessageQueue(new MemoryBackend(), { codec: devalueCodec() });
 * await mq.publish("seen", { at: new Date(0), tags: new Set(["a"]), big: 2n ** 64n });
 * for await (const payload of mq.consume<{ at: Date; tags: Set<string>; big: bigint }>()) {
 *   console.assert(payload.tags.has("a") && payload.big === 2n ** 64n);
 *   break;
 * }
 * ```
 */
export function devalueCodec(options: DevalueOptions = {}): TextCodec {
  const bounds: FlatBounds = { maxDepth: options.maxDepth ?? 100, maxDigits, maxSparse };
  return {
    contentType: "application/vnd.devalue+json",
    kind: "text",
    encode: (payload) => encode(payload, bounds),
    decode: (body) => decode(body, bounds),
  };
}

function encode(payload: Payload, bounds: FlatBounds): string {
  try {
    if (typeof payload !== "object" || payload === null) throw new TypeError("A payload is an object or an array");
    const text = stringify(payload, { refuse, [viewTag]: wholeView });
    // What would not be read is not written.
    checkFlat(JSON.parse(text), bounds);
    return text;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new MessageQueueError("invalid_payload", `Cannot publish a payload as tagged JSON: ${why}`, { cause: error });
  }
}

function decode(body: string, bounds: FlatBounds): Payload {
  let flat: unknown;
  try {
    flat = JSON.parse(body);
  } catch {
    // The parser's own message quotes the text; a payload never goes to a log.
    throw new MessageQueueError("undecodable", "Cannot decode tagged JSON: it is not JSON");
  }
  checkFlat(flat, bounds);
  return parse(body, { [viewTag]: (view: unknown) => view });
}

// devalue writes more than this codec reads: a pattern from elsewhere can take for ever to match, and not every runtime has `Temporal`.
function refuse(value: unknown): undefined {
  if (typeof value !== "object" || value === null) return;
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (
    /^(?:RegExp|URL|URLSearchParams|Number|String|Boolean|BigInt|SharedArrayBuffer|Float16Array|Temporal.*)$/.test(kind)
  ) {
    throw new TypeError(`Cannot write a ${kind}`);
  }
}

// Of a view devalue writes the whole buffer; that of a small Node `Buffer` is shared with whatever else was allocated.
function wholeView(value: unknown): unknown {
  if (!ArrayBuffer.isView(value) || value.byteLength === value.buffer.byteLength) return undefined;
  const bytes = new Uint8Array(value.byteLength);
  bytes.set(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  if (value instanceof Uint8Array) return bytes;
  if (value instanceof DataView) return new DataView(bytes.buffer);
  return Reflect.construct(value.constructor, [bytes.buffer]);
}
