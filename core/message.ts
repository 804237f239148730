/**
 * Messages: what is published, checked once at the door, and what a backend stores.
 *
 * @module
 */

import { checkDuration } from "./check.ts";
import { type Body, encodePayload, type Payload } from "./codec.ts";
import { checkKey, checkName } from "./keys.ts";

/** Text that travels with a message beside its payload. Names and values are strings, any Unicode. */
export type Headers = Readonly<Record<string, string>>;

/** How one message is published. */
export interface PublishOptions {
  /**
   * Text that travels beside the payload.
   *
   * @default {{}}
   */
  readonly headers?: Headers;
  /**
   * The id of the message. Given by the application, a second message with the same id within the backend's window (5 minutes by
   * default) resolves and is not stored.
   *
   * @default {crypto.randomUUID()}
   */
  readonly id?: string;
  /** Hold the message back for so many milliseconds. */
  readonly delayMs?: number;
  /** Hold the message back until then: a date, or milliseconds since 1970. Not together with `delayMs`. */
  readonly deliverAt?: Date | number;
  /**
   * Messages that share it are handled one at a time and in order within each group. Not together with a delay.
   */
  readonly orderingKey?: string;
  /** Ends the call: it rejects with the signal's reason, and the message may or may not have been stored. */
  readonly signal?: AbortSignal;
  /**
   * How long to go on trying while the broker cannot be reached, in milliseconds.
   *
   * @default {30_000}
   */
  readonly publishTimeoutMs?: number;
}

/** A message on its way to a backend: checked, its payload encoded. */
export interface Message {
  /** The application's id, or a random one. */
  readonly id: string;
  /** Words joined by dots. */
  readonly key: string;
  /** The payload: JSON text, or what `contentType` says. */
  readonly body: Body;
  /** What the body is; absent means JSON text. Only given to a backend that declares `codecs`. */
  readonly contentType?: string;
  /** Text beside the payload. */
  readonly headers: Headers;
  /** When it was published, in milliseconds since 1970, by the publisher's clock. */
  readonly publishedAt: number;
  /** When it may be delivered, in milliseconds since 1970; absent means at once. */
  readonly deliverAt?: number;
  /** Messages that share it keep their order. */
  readonly orderingKey?: string;
  /** Whether the application gave the id, so that a second one is to be dropped. */
  readonly deduplicate: boolean;
}

/** A payload written down. */
export interface Encoded {
  /** Text or bytes. */
  readonly body: Body;
  /** What they are; absent means JSON text. */
  readonly contentType?: string;
}

/**
 * The header that says what the body is, where a backend keeps neither bytes nor content types. An application cannot use it.
 */
export const contentTypeHeader = "abe-mq-content-type";

/** The header that says the key of a typed message, where a backend keeps no keys. */
export const keyHeader = "abe-mq-key";

/** What most messages have beside their payload. One object, so that it is known without a look inside. */
export const noHeaders: Headers = Object.freeze({});

/** Headers as JSON text, for backends that keep text; `undefined` when there are none. */
export function headersText(headers: Headers): string | undefined {
  if (headers !== noHeaders) { for (const _ in headers) return JSON.stringify(headers); }
  return undefined;
}

function encodeJson(payload: Payload): Encoded {
  return { body: encodePayload(payload) };
}

/**
 * Checks what is published and makes a message of it.
 *
 * @param key Words joined by dots.
 * @param payload An object or an array.
 * @param options How to publish it.
 * @param encode Writes the payload down; as JSON text unless given.
 * @returns The message.
 * @throws {TypeError} When a key, header, id or combination of options is wrong.
 * @throws {RangeError} When a delay is out of range.
 * @throws {MessageQueueError} `invalid_payload` when the payload cannot be written down.
 */
export function createMessage(
  key: string,
  payload: Payload,
  options: PublishOptions = {},
  encode: (payload: Payload) => Encoded = encodeJson,
): Message {
  checkKey(key);
  const { id, orderingKey } = options;
  const publishedAt = Date.now();
  const deliverAt = dueTime(options, publishedAt);
  if (id !== undefined) checkName("id", id);
  if (orderingKey !== undefined) {
    checkName("orderingKey", orderingKey);
    if (deliverAt !== undefined) {
      throw new TypeError(
        "Cannot publish with both orderingKey and a delay: what is held back has no place in an order",
      );
    }
  }
  const { body, contentType } = encode(payload);
  const message = {
    id: id ?? crypto.randomUUID(),
    key,
    body,
    headers: options.headers === undefined ? noHeaders : copyHeaders(options.headers),
    publishedAt,
    deduplicate: id !== undefined,
  };
  // Spreading costs more than all of the rest, and most messages have none of these.
  if (contentType === undefined && deliverAt === undefined && orderingKey === undefined) return message;
  return {
    ...message,
    ...(contentType !== undefined && { contentType }),
    ...(deliverAt !== undefined && { deliverAt }),
    ...(orderingKey !== undefined && { orderingKey }),
  };
}

function dueTime({ delayMs, deliverAt }: PublishOptions, now: number): number | undefined {
  if (delayMs !== undefined) {
    if (deliverAt !== undefined) throw new TypeError("Cannot publish with both delayMs and deliverAt: give one");
    checkDuration("delayMs", delayMs, 0);
    return delayMs === 0 ? undefined : now + delayMs;
  }
  if (deliverAt === undefined) return undefined;
  const time = Number(deliverAt);
  if (!Number.isFinite(time)) throw new RangeError(`Cannot use ${String(deliverAt)} as deliverAt: it is no date`);
  return time > now ? time : undefined;
}

/**
 * Checks headers and copies them, so that a caller may go on using the object.
 *
 * @param headers Text by name.
 * @returns The copy.
 * @throws {TypeError} When a value is no string, or a name is empty or reserved.
 */
export function copyHeaders(headers: Headers): Headers {
  // `fromEntries` defines own properties, so a header named `__proto__` is data.
  const entries = Object.entries(headers);
  for (const [name, value] of entries) {
    if (typeof value !== "string") {
      throw new TypeError(`Cannot use ${typeof value} as header ${JSON.stringify(name)}: it must be a string`);
    }
    if (name === "") throw new TypeError("Cannot use a header without a name");
    if (name === contentTypeHeader) throw new TypeError(`Cannot use the header ${name}: it is reserved`);
  }
  return Object.fromEntries(entries);
}
