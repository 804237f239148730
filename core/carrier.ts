/**
 * Bodies that are not JSON text, on a backend that keeps nothing else: they travel inside JSON, and a reserved header says what they are.
 *
 * @module
 */

import type { Body, Payload } from "./codec.ts";
import { MessageQueueError } from "./errors.ts";
import { contentTypeHeader, type Encoded, type Headers } from "./message.ts";

/** What a carrier's JSON is: one of the two members. */
interface Carrier {
  readonly text?: string;
  readonly base64?: string;
}

/** A body as it was published, with the headers that are the application's. */
export interface Unpacked extends Encoded {
  readonly headers: Headers;
}

/** What a message was stored as. A backend of three methods gives its payload instead of a body. */
export interface Packed {
  readonly body: Body;
  readonly contentType?: string;
  readonly headers: Headers;
  readonly payload?: Payload;
}

/**
 * Puts a body into an object that JSON can hold.
 *
 * @param body Text or bytes.
 * @returns The carrier.
 */
export function carry(body: Body): Payload {
  const carrier: Carrier = typeof body === "string" ? { text: body } : { base64: toBase64(body) };
  return carrier;
}

/**
 * Whether a message is stored as what most are: JSON text, with nothing to unpack.
 *
 * @param stored The message.
 * @returns Whether it is.
 */
export function isOrdinary(stored: Packed): boolean {
  return stored.contentType === undefined && stored.headers[contentTypeHeader] === undefined &&
    typeof stored.body === "string";
}

/**
 * Takes a body out of its carrier, when it is in one.
 *
 * @param stored The message as it was stored.
 * @returns The body as it was published.
 * @throws {MessageQueueError} `undecodable` when the carrier is broken.
 */
export function unpack(stored: Packed): Unpacked {
  const { [contentTypeHeader]: contentType, ...headers } = stored.headers;
  if (contentType === undefined) {
    const body = stored.payload === undefined ? stored.body : JSON.stringify(stored.payload);
    return {
      body,
      ...(stored.contentType !== undefined && { contentType: stored.contentType }),
      headers: stored.headers,
    };
  }
  const { text, base64 } = carrierOf(stored);
  if (typeof text === "string") return { body: text, contentType, headers };
  if (typeof base64 !== "string") throw broken("neither text nor base64 is in it");
  return { body: fromBase64(base64), contentType, headers };
}

function carrierOf({ payload, body }: Packed): Carrier {
  if (payload !== undefined) return payload;
  try {
    const value: unknown = JSON.parse(bodyText(body));
    if (typeof value === "object" && value !== null) return value;
  } catch (error) {
    throw broken("it is not JSON", error);
  }
  throw broken("it is no object");
}

function broken(why: string, cause?: unknown): MessageQueueError {
  return new MessageQueueError("undecodable", `Cannot take a body out of its carrier: ${why}`, { cause });
}

/**
 * A body as text.
 *
 * @param body Text, or its UTF-8 bytes.
 * @returns The text.
 * @throws {MessageQueueError} `undecodable` when the bytes are not UTF-8.
 */
export function bodyText(body: Body): string {
  if (typeof body === "string") return body;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch (error) {
    throw new MessageQueueError("undecodable", `Cannot decode a body of ${body.length} bytes: it is not UTF-8`, {
      cause: error,
    });
  }
}

/**
 * A body as bytes.
 *
 * @param body Bytes, or text, which becomes UTF-8.
 * @returns The bytes.
 */
export function bodyBytes(body: Body): Uint8Array {
  return typeof body === "string" ? new TextEncoder().encode(body) : body;
}

// Not every runtime has `Uint8Array.prototype.toBase64` yet. Arguments of a call go on the stack, so not too many at once.
const chunkBytes = 32_768;

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    binary += String.fromCharCode(...bytes.subarray(at, at + chunkBytes));
  }
  return btoa(binary);
}

function fromBase64(text: string): Uint8Array {
  let binary: string;
  try {
    binary = atob(text);
  } catch (error) {
    throw broken("it is not base64", error);
  }
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
