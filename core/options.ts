/**
 * The options of a queue and its calls.
 *
 * @module
 */

import type { Backoff } from "./backoff.ts";
import type { ConsumeOptions } from "./backend.ts";
import type { CodecOptions } from "./codecs.ts";
import type { Payload } from "./codec.ts";
import type { Delivery } from "./delivery.ts";
import type { Logger } from "./logger.ts";
import type { PublishOptions } from "./message.ts";
import type { RetryPolicy } from "./runner.ts";

/** How a queue stands with its broker. */
export type QueueState = "open" | "reconnecting" | "closed";

/** A change of state. */
export interface StateChange {
  /** What it is now. */
  readonly state: QueueState;
  /** What broke, when it is `reconnecting`. */
  readonly error?: unknown;
}

/** Something that messages can be published to, such as a `MessageQueue`. */
export interface Publishes {
  /** Stores one message. */
  publish(key: string, payload: Payload, options?: PublishOptions): Promise<unknown>;
}

/** Options of `MessageQueue`. */
export interface MessageQueueOptions extends CodecOptions {
  /**
   * Where to say what happens. Never given a payload or a secret.
   *
   * @default {warnings and errors to standard error}
   */
  readonly logger?: Logger;
  /**
   * A queue that takes the dead letters of a backend that has none of its own, under the key `dead.GROUP`, with the headers
   * `abe-mq-reason`, `abe-mq-error`, `abe-mq-attempts` and `abe-mq-group`. A payload that was not written as JSON is there as
   * `{ text }` or `{ base64 }`, its content type in `abe-mq-carried-type`. It is not closed with this one.
   */
  readonly deadLetters?: Publishes;
  /** Told of each change of state. */
  readonly onStateChange?: (change: StateChange) => void;
  /**
   * The wait before the next try while the broker is away, in milliseconds, by the number of failures from 1.
   *
   * @default {exponentialBackoff({ baseMs: 100, maxMs: 5_000 })}
   */
  readonly reconnect?: Backoff;
}

/** Options of `consume` and `receive`. */
export interface ReceiveOptions extends ConsumeOptions {
  /**
   * At most so many messages are held at once, fetched ahead or in hand.
   *
   * @default {100}
   */
  readonly prefetch?: number;
  /**
   * How long a message is this consumer's unless renewed, in milliseconds, at least 100. What a killed consumer held comes again after it.
   *
   * @default {30_000}
   */
  readonly leaseMs?: number;
}

/** Options of `subscribe`. */
export interface SubscribeOptions extends ReceiveOptions {
  /**
   * How many messages are handled at the same time.
   *
   * @default {1}
   */
  readonly concurrency?: number;
  /**
   * Decides when a failed message is tried again, or never.
   *
   * @default {retryWithBackoff()}
   */
  readonly retry?: RetryPolicy;
  /** How long a handler may take, in milliseconds; then its signal is aborted and the message counts as failed. Absent means any time. */
  readonly timeoutMs?: number;
  /**
   * How long handlers may go on when the subscription ends, in milliseconds.
   *
   * @default {30_000}
   */
  readonly drainTimeoutMs?: number;
  /** Told of each failed attempt, after it is logged and before the retry policy decides. */
  readonly onError?: (error: unknown, delivery: Delivery) => unknown;
}

/** A message of a batch. */
export interface OutgoingMessage extends Omit<PublishOptions, "signal" | "publishTimeoutMs"> {
  /** Words joined by dots. */
  readonly key: string;
  /** An object or an array. */
  readonly payload: Payload;
}
