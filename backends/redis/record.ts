/**
 * Messages as text: see `names.ts` for the form.
 *
 * @module
 */

import { MessageQueueError } from "../../core/errors.ts";
import { headersText, type Message, noHeaders } from "../../core/message.ts";

/** What the text of a message holds. */
export interface StoredMessage {
  /** The message's id. */
  readonly id: string;
  /** Its key. */
  readonly key: string;
  /** When it was published, in milliseconds since 1970. */
  readonly publishedAt: number;
  /** The key by which it is ordered. */
  readonly orderingKey?: string;
  /** Text beside the payload. */
  readonly headers: Readonly<Record<string, string>>;
  /** The payload as JSON. */
  readonly body: string;
}

/**
 * Writes a message as text.
 *
 * @param message The message.
 * @returns The text.
 */
export function encodeMessage(message: Message): string {
  const { id, key, publishedAt, orderingKey, headers, body } = message;
  return `${id}\n${key}\n${publishedAt}\n${orderingKey ?? ""}\n${headersText(headers) ?? ""}\n${body}`;
}

/**
 * Reads the text of a message.
 *
 * @param text The text.
 * @returns The message.
 * @throws {MessageQueueError} `undecodable` when somebody else wrote it.
 */
export function decodeMessage(text: string): StoredMessage {
  const a = text.indexOf("\n");
  const b = text.indexOf("\n", a + 1);
  const c = text.indexOf("\n", b + 1);
  const d = text.indexOf("\n", c + 1);
  const e = text.indexOf("\n", d + 1);
  if (a < 1 || b < 0 || c < 0 || d < 0 || e < 0) throw undecodable();
  const id = text.slice(0, a);
  const key = text.slice(a + 1, b);
  const publishedAt = Number(text.slice(b + 1, c));
  const headers = e > d + 1 ? decodeHeaders(text.slice(d + 1, e)) : noHeaders;
  const body = text.slice(e + 1);
  // Two literals and no spread: this runs once for each message.
  if (d === c + 1) return { id, key, publishedAt, headers, body };
  return { id, key, publishedAt, orderingKey: text.slice(c + 1, d), headers, body };
}

/**
 * Reads text of headers.
 *
 * @param text JSON.
 * @returns The headers.
 * @throws {MessageQueueError} `undecodable` when it is no JSON.
 */
export function decodeHeaders(text: string): Readonly<Record<string, string>> {
  try {
    return JSON.parse(text) as Record<string, string>;
  } catch (cause) {
    throw new MessageQueueError("undecodable", "Cannot decode the headers of a message: they are not JSON", { cause });
  }
}

function undecodable(): MessageQueueError {
  return new MessageQueueError(
    "undecodable",
    "Cannot decode an entry of the stream: it is not a message of this package",
  );
}
