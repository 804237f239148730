/**
 * Payloads written down: as JSON text (RFC 8259) unless a codec is chosen, refused at the sender when it would not arrive as it was sent.
 *
 * @module
 */

import { describeError, MessageQueueError } from "./errors.ts";

/** What a message carries: an object or an array that JSON can hold. An interface type fits. */
export type Payload = object;

/** A payload written down: text, or bytes. */
export type Body = string | Uint8Array;

/** A way to write payloads as text. */
export interface TextCodec {
  /** What it writes: a media type in lower case without parameters, such as `application/json`. */
  readonly contentType: string;
  /** Whether it writes text or bytes. */
  readonly kind: "text";
  /**
   * Writes a payload.
   *
   * @throws {MessageQueueError} `invalid_payload` when it would not arrive as it was sent.
   */
  encode(payload: Payload): string;
  /**
   * Reads what `encode` wrote, on any runtime. It is given whatever came, so it must bound its work by the length of the text, and never
   * run code that the text names.
   *
   * @throws When it cannot; the message then goes to the dead letters.
   */
  decode(body: string): Payload;
}

/** A way to write payloads as bytes. */
export interface BytesCodec {
  /** What it writes: a media type in lower case without parameters, such as `application/vnd.msgpack`. */
  readonly contentType: string;
  /** Whether it writes text or bytes. */
  readonly kind: "bytes";
  /**
   * Writes a payload, into bytes that nobody else uses.
   *
   * @throws {MessageQueueError} `invalid_payload` when it would not arrive as it was sent.
   */
  encode(payload: Payload): Uint8Array;
  /**
   * Reads what `encode` wrote, on any runtime. It is given whatever came, so it must bound its work by the number of bytes, and never run
   * code that the bytes name.
   *
   * @throws When it cannot; the message then goes to the dead letters.
   */
  decode(body: Uint8Array): Payload;
}

/** A way to write payloads. Both methods are pure: they keep nothing and may be called at any time. */
export type Codec = TextCodec | BytesCodec;

/**
 * Writes a payload as JSON text.
 *
 * What JSON itself converts is converted (a `Date` becomes a string, a member that is `undefined` is left out), so what arrives is what
 * `JSON.parse` makes of it.
 *
 * @param payload An object or an array.
 * @returns JSON text.
 * @throws {MessageQueueError} `invalid_payload` when it is no object, or holds what JSON cannot (a BigInt, a cycle).
 */
export function encodePayload(payload: Payload): string {
  if (typeof payload !== "object" || payload === null) {
    const what = payload === null ? "null" : typeof payload;
    throw new MessageQueueError("invalid_payload", `Cannot publish ${what}: a payload is an object or an array`);
  }
  let text: string | undefined;
  try {
    text = JSON.stringify(payload);
  } catch (error) {
    throw new MessageQueueError(
      "invalid_payload",
      `Cannot publish a payload that is not JSON: ${describeError(error)}`,
      {
        cause: error,
      },
    );
  }
  const first = text?.charCodeAt(0);
  // A `toJSON` can turn an object into anything: a Date at the top becomes a string, which no consumer expects.
  if (text === undefined || (first !== 0x7b && first !== 0x5b)) {
    const kind = payload.constructor?.name ?? "object";
    throw new MessageQueueError("invalid_payload", `Cannot publish a ${kind}: as JSON it is no object or array`);
  }
  return text;
}

/**
 * Reads a payload from JSON text. A member named `__proto__` is data and changes no prototype (`JSON.parse` defines it as an own
 * property).
 *
 * @param body JSON text.
 * @returns The payload.
 * @throws {MessageQueueError} `undecodable` when it is not JSON, or is neither an object nor an array.
 */
export function decodePayload(body: string): Payload {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    // The parser's own message quotes the text; a payload never goes to a log.
    throw new MessageQueueError("undecodable", `Cannot decode a body of ${body.length} characters: it is not JSON`, {
      cause: new SyntaxError((error as Error).name),
    });
  }
  if (typeof value !== "object" || value === null) {
    throw new MessageQueueError("undecodable", "Cannot decode a body: it is JSON, but no object or array");
  }
  return value;
}

/** JSON: what a queue writes unless told otherwise, and what every queue reads. */
export const jsonCodec: TextCodec = Object.freeze({
  contentType: "application/json",
  kind: "text",
  encode: encodePayload,
  decode: decodePayload,
});
