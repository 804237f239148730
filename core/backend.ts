/**
 * The protocol between `@abe/mq` and what stands behind it: what the author of a backend implements.
 *
 * Three methods make a backend: a static `fromEnv`, `publish` and `consume` ({@linkcode MessageQueueBackend}). One that can do more
 * has two more, `publishMany` and `receive` ({@linkcode DurableBackend}); retry, prefetch, lease renewal, drain, abort and
 * reconnection are then done for it by the queue, and its `publish` and `consume` are one line each
 * (`publishOne` and `consumePayloads`).
 *
 * @module
 */

import type { Env } from "./env.ts";
import type { Body, Payload } from "./codec.ts";
import type { Message, PublishOptions } from "./message.ts";

/**
 * What a backend guarantees. What is absent it does not, and the queue refuses the option that asks for it (code
 * `unsupported`).
 */
export interface Capabilities {
  /** Several groups, each getting every message; within one, each message goes to one consumer. */
  readonly groups?: boolean;
  /** Filters by key. */
  readonly keys?: boolean;
  /** What a dead consumer held goes to another after a time, and the dead one's settlement is refused. */
  readonly leases?: boolean;
  /** `delayMs`, `deliverAt`, and delays of `nack`. */
  readonly delay?: boolean;
  /** `orderingKey`. */
  readonly ordering?: boolean;
  /** A second message with an application's `id` is dropped. */
  readonly dedup?: boolean;
  /** Dead letters for each group, moved there atomically, listed, replayed, purged. */
  readonly deadLetters?: boolean;
  /** Nothing unacked is dropped, what all have acked is; `maxLength` and `maxAgeMs`. */
  readonly retention?: boolean;
  /** Groups that vanish by `expiresMs`. */
  readonly expiry?: boolean;
  /** `publishMany` stores all messages or none. */
  readonly atomicBatch?: boolean;
  /** `stats` counts by group. */
  readonly stats?: boolean;
  /**
   * Keeps a message's `contentType`, and with one a body of bytes as those bytes. (A body of text may then come back as its UTF-8 bytes.)
   * Without it such a message travels inside JSON text, which the queue sees to.
   */
  readonly codecs?: boolean;
  /** What was published outlives this process. */
  readonly durable?: boolean;
}

/** What a backend's own `consume` is asked for. */
export interface ConsumeOptions {
  /**
   * The group to consume for.
   *
   * @default {"default"}
   */
  readonly group?: string;
  /** Which keys the group gets: an AMQP topic pattern. Absent means the group's stored filter, or `#` when it is made now. */
  readonly keys?: string;
  /** Ends the iteration, normally, when aborted. */
  readonly signal?: AbortSignal;
}

/**
 * What every backend is: where messages go in and come out.
 *
 * - `publish` resolves once the message is stored as durably as the backend is configured to. It may be called any number of times at once.
 * - `consume` yields payloads; asking for the next one acks the last, and ending the iteration releases it. It may be called several
 *   times at once. It must end normally, and promptly, once `signal` is aborted.
 * - Nobody retries below the queue: throw a `MessageQueueError` with `retryable` set for what may work later (a lost connection), and the
 *   queue calls again.
 * - `group` and `keys` are only ever passed to a backend that declares them.
 */
export interface MessageQueueBackend {
  /** What it guarantees. Absent means nothing of it. */
  readonly capabilities?: Capabilities;
  /** Stores one message. */
  publish(key: string, payload: Payload, options?: PublishOptions): Promise<void>;
  /** Yields payloads; asking for the next acks the last. */
  consume(options?: ConsumeOptions): AsyncIterable<Payload>;
  /** Stores several messages, encoded. Each resolves or rejects as `publish` does; partly stored is a `PublishManyError`. */
  publishMany?(messages: readonly Message[], options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Opens a place in a group, from which messages are pulled and settled one by one. */
  receive?(options: ReceiveOptions): Promise<Receiver>;
  /** Makes and removes groups. */
  readonly groups?: GroupStore;
  /** Looks into dead letters. */
  readonly deadLetters?: DeadLetterStore;
  /** Counts what is waiting. */
  stats?(): Promise<QueueStats>;
  /** Resolves when the broker answers. */
  ping?(signal?: AbortSignal): Promise<void>;
  /** Looks at the settings of the broker that lose messages, and at its clock; each finding says what mends it. Changes nothing. */
  diagnose?(signal?: AbortSignal): Promise<readonly Finding[]>;
  /** Connects ahead of the first use, which otherwise does it. Concurrent first uses make one connection. */
  connect?(): Promise<void>;
  /** Closes connections. Called once, after every receiver is closed; a second call is harmless. */
  [Symbol.asyncDispose]?(): PromiseLike<void>;
}

/** A backend whose deliveries are settled one by one: everything beyond the three methods builds on it. */
export type DurableBackend =
  & MessageQueueBackend
  & Required<Pick<MessageQueueBackend, "publishMany" | "receive">>;

/**
 * What a backend module exports, as default or by name in `backends`: something that makes a backend.
 */
export interface MessageQueueBackendModule {
  /**
   * Makes a backend from environment variables.
   *
   * @param env Where to read them, one by one.
   * @returns The backend, which need not be connected yet.
   * @throws {ConfigError} Naming every variable that is missing or wrong.
   */
  fromEnv(env: Env): MessageQueueBackend | Promise<MessageQueueBackend>;
}

/** What {@linkcode MessageQueueBackend.receive} is asked for; every value was checked by the queue. */
export interface ReceiveOptions {
  /** The group; made when there is none (from the oldest message retained), with `keys` or `#` as its filter. */
  readonly group: string;
  /** The filter wanted. Another than the stored one is refused with `group_conflict`. */
  readonly keys?: string;
  /** How long a pulled message is this receiver's, in milliseconds, unless extended. */
  readonly leaseMs: number;
}

/** How much to pull. */
export interface PullOptions {
  /** At most so many messages. */
  readonly max: number;
  /**
   * Aborted when nobody waits any more: resolve promptly, with what was claimed by then (the queue gives it back) or with nothing.
   */
  readonly signal: AbortSignal;
}

/**
 * An open place in a group. The queue calls `pull` again only when the last call has ended; `settle` and `extend` may be called at
 * any time before `close`, and while a pull waits.
 *
 * After a rejected `pull` whose error is `retryable`, the queue waits a little and calls it again on the same receiver: connections
 * are opened anew inside it.
 */
export interface Receiver {
  /**
   * Waits until at least one message can be claimed, and claims up to `max`: either messages that were never delivered to this
   * group before (attempt 1), or exactly one that was (attempt > 1), which goes first when it is due. So one poison message never uses up its
   * neighbours' attempts.
   *
   * Claiming counts an attempt. A message whose attempts are used up (`maxAttempts` of its group), or which is older than the
   * `maxAgeMs`, is moved to the dead letters instead.
   *
   * @returns At least one claim; none only when `signal` was aborted or `close` called.
   */
  pull(options: PullOptions): Promise<readonly Claim[]>;
  /**
   * Settles claims, each as its settlement says, in one step where the broker can.
   *
   * @returns For each, whether this receiver still held it. What it no longer held is left as it is (fencing).
   */
  settle(settlements: readonly Settlement[]): Promise<readonly boolean[]>;
  /**
   * Makes the lease of claims end `leaseMs` from now.
   *
   * @returns For each, whether this receiver still held it.
   */
  extend(claims: readonly Claim[], leaseMs: number): Promise<readonly boolean[]>;
  /**
   * Leaves the group; the queue has settled or released every claim before, or gives up on it: what is left is released at once, as
   * `nack` does. Never hangs, also when the broker is away. A second call is harmless.
   */
  close(): Promise<void>;
}

/** A message that a receiver holds for a while. A backend adds what it needs to find it again. */
export interface Claim {
  /** The message's id. */
  readonly id: string;
  /** Its key. */
  readonly key: string;
  /** Its payload as stored: JSON text, or what `contentType` says. */
  readonly body: Body;
  /** What the body is, as it was published; absent means JSON text. */
  readonly contentType?: string;
  /** Text beside the payload. */
  readonly headers: Readonly<Record<string, string>>;
  /** When it was published, in milliseconds since 1970. */
  readonly publishedAt: number;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  /** The key by which it is ordered. */
  readonly orderingKey?: string;
}

/** How a claim ends. */
export type Settlement =
  /** Done: it leaves the group. */
  | { readonly claim: Claim; readonly verb: "ack" }
  /**
   * Failed: again after `delayMs`, or to the dead letters, reason `exhausted`, when that was the last of the group's `maxAttempts`.
   * The error is kept for the dead letter.
   */
  | { readonly claim: Claim; readonly verb: "nack"; readonly delayMs: number; readonly error?: string }
  /** Never again: to the dead letters with this reason. */
  | { readonly claim: Claim; readonly verb: "reject"; readonly reason: string; readonly error?: string }
  /** Not handled: at once again, in its old place where the broker can, and the attempt is not counted. */
  | { readonly claim: Claim; readonly verb: "release" };

/** How a group is made. */
export interface GroupOptions {
  /**
   * Which keys it gets: an AMQP topic pattern.
   *
   * @default {"#"}
   */
  readonly keys?: string;
  /**
   * Where it starts: at the oldest message retained, or with messages published from now on.
   *
   * @default {"earliest"}
   */
  readonly from?: "earliest" | "latest";
  /**
   * After so many attempts a message goes to the dead letters.
   *
   * @default {10}
   */
  readonly maxAttempts?: number;
  /** The group vanishes when it has had no consumer for so many milliseconds. Absent means never. */
  readonly expiresMs?: number;
}

/** A group as it stands. */
export interface Group extends Required<Omit<GroupOptions, "expiresMs" | "from">> {
  /** Its name. */
  readonly name: string;
  /** After how many milliseconds without a consumer it vanishes. */
  readonly expiresMs?: number;
}

/** Makes, changes and removes groups. */
export interface GroupStore {
  /** Makes a group. One that exists with the same filter stays as it is; another filter is refused with `group_conflict`. */
  create(name: string, options?: GroupOptions): Promise<void>;
  /** Changes a group: `keys` holds for what is claimed from now on. `not_found` when there is none. */
  update(name: string, options: Omit<GroupOptions, "from">): Promise<void>;
  /** The groups, by name. */
  list(): Promise<readonly Group[]>;
  /** Removes a group with its dead letters. `not_found` when there is none. */
  delete(name: string): Promise<void>;
}

/** Why a message is a dead letter: one of these, or what `reject` was given. */
export type DeadReason = "exhausted" | "expired" | "undecodable" | (string & Record<never, never>);

/** A message that a group gave up on. */
export interface DeadLetter {
  /** The message's id. */
  readonly id: string;
  /** Its key. */
  readonly key: string;
  /** Its payload as stored. */
  readonly body: Body;
  /** What the body is, as it was published; absent means JSON text. */
  readonly contentType?: string;
  /** Text beside the payload. */
  readonly headers: Readonly<Record<string, string>>;
  /** When it was published, in milliseconds since 1970. */
  readonly publishedAt: number;
  /** The key by which it was ordered. */
  readonly orderingKey?: string;
  /** The group that gave up. */
  readonly group: string;
  /** Why. */
  readonly reason: DeadReason;
  /** The last error, as text. */
  readonly error?: string;
  /** How many attempts were made. */
  readonly attempts: number;
  /** When it became one, in milliseconds since 1970. */
  readonly deadAt: number;
}

/** Which dead letters. */
export interface DeadLetterPage {
  /** The dead letters, oldest first. */
  readonly deadLetters: readonly DeadLetter[];
  /** Give it to the next `list`; absent when there are no more. */
  readonly cursor?: string;
}

/** Looks into the dead letters of groups. A group that does not exist has none. */
export interface DeadLetterStore {
  /** Lists them, oldest first, `limit` at a time. */
  list(group: string, options: { readonly limit: number; readonly cursor?: string }): Promise<DeadLetterPage>;
  /** One of them; the oldest where several share an id. */
  get(group: string, id: string): Promise<DeadLetter | undefined>;
  /** Puts them back into their group alone, with attempts from 1, each once. @returns How many. */
  replay(group: string, ids?: readonly string[]): Promise<number>;
  /** Removes them. @returns How many. */
  purge(group: string, ids?: readonly string[]): Promise<number>;
}

/** What is where in one group. */
export interface GroupStats {
  /** Waiting to be claimed. */
  readonly ready: number;
  /** Held back until later. */
  readonly delayed: number;
  /** Claimed and not settled. */
  readonly inFlight: number;
  /** Dead letters. */
  readonly dead: number;
  /** Receivers that are open. */
  readonly consumers: number;
  /** Age of the oldest message that is not acked, in milliseconds; 0 when there is none. */
  readonly oldestAgeMs: number;
  /** Whether the counts are bounds and not exact. */
  readonly approximate?: boolean;
}

/** What is where. */
export interface QueueStats {
  /** Messages that are stored, delayed ones included. */
  readonly retained: number;
  /** By group. */
  readonly groups: Readonly<Record<string, GroupStats>>;
}

/** What a look at a broker found. */
export interface Finding {
  /** How bad it is: `problem` loses messages or stops the queue, `warning` may, `ok` was looked at and is well. */
  readonly level: "ok" | "warning" | "problem";
  /** What was found, in a sentence without its full stop. */
  readonly message: string;
  /** What mends it: a command or a setting. */
  readonly mend?: string;
}

/** The group of those who name none. */
export const defaultGroup = "default";

/** How long a message is a consumer's unless renewed, in milliseconds. */
export const defaultLeaseMs = 30_000;

/** After so many attempts a message becomes a dead letter, unless its group says otherwise. */
export const defaultMaxAttempts = 10;
