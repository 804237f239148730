/**
 * Payloads as text: JSON (RFC 8259), refused at the sender when it would not arrive as it was sent.
 *
 * @module
 */

import { describeError, MessageQueueError } from "./errors.ts";

/** What a message carries: an object or an array that JSON can hold. An interface type fits. */
export type Payload = object;

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
