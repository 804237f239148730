/**
 * A queue in this process's own memory: for tests, for a laptop, and for authors of backends to read first. Everything that `@abe/mq` promises holds but durability: when the process ends, so does what it held. Two backends share nothing unless
 * they are given the same `store`.
 *
 * @module
 */

import type {
  Capabilities,
  Claim,
  ConsumeOptions,
  DeadLetterStore,
  DurableBackend,
  GroupStore,
  PullOptions,
  QueueStats,
  ReceiveOptions,
  Receiver,
  Settlement,
} from "../core/backend.ts";
import { checkDuration, checkInteger } from "../core/check.ts";
import type { Payload } from "../core/codec.ts";
import { consumePayloads } from "../core/consumer.ts";
import type { Env } from "../core/env.ts";
import { MessageQueueError } from "../core/errors.ts";
import { type Logger, loggerFromEnv, silentLogger } from "../core/logger.ts";
import type { Message, PublishOptions } from "../core/message.ts";
import { publishOne } from "../core/publish.ts";
import { storedAtOnce } from "../core/publisher.ts";
import { onAbort } from "../core/signals.ts";
import { MemoryDeadLetters, MemoryGroups } from "./memory/administration.ts";
import { type Clock, systemClock } from "./memory/due.ts";
import type { MemoryClaim, MemoryGroup, Puller } from "./memory/group.ts";
import { Log } from "./memory/log.ts";
import { joinStore, leaveStore } from "./memory/stores.ts";

/** Options of {@linkcode MemoryBackend}. */
export interface MemoryOptions {
  /** Backends of this process with the same name share their messages, which live until the last of them is disposed. Absent means alone. */
  readonly store?: string;
  /** At most so many messages that some group has yet to ack; more are refused with `full`. Absent means no bound. */
  readonly maxLength?: number;
  /** What is older becomes a dead letter, in milliseconds. Absent means never. */
  readonly maxAgeMs?: number;
  /**
   * For how long an application's message id is remembered, in milliseconds.
   *
   * @default {300_000}
   */
  readonly dedupWindowMs?: number;
  /**
   * Where to say what happens.
   *
   * @default {silentLogger}
   */
  readonly logger?: Logger;
  /** The clock and its timers, for tests. */
  readonly clock?: Clock;
}

/**
 * A queue in this process's own memory.
 *
 * @example
 * ```ts
 * import { MessageQueue } from "@abe/mq";
 * import { MemoryBackend } from "@abe/mq/memory";
 *
 * await using mq = new MessageQueue(new MemoryBackend({ maxLength: 1_000 }));
 * await mq.publish("order.created", { id: 1 });
 * ```
 */
export class MemoryBackend implements DurableBackend {
  /** All of them, but `durable`. */
  readonly capabilities: Capabilities = {
    groups: true,
    keys: true,
    leases: true,
    delay: true,
    ordering: true,
    dedup: true,
    deadLetters: true,
    retention: true,
    expiry: true,
    atomicBatch: true,
    stats: true,
    codecs: true,
  };
  /** Makes, changes and removes groups. */
  readonly groups: GroupStore;
  /** Looks into dead letters. */
  readonly deadLetters: DeadLetterStore;
  readonly #log: Log;
  readonly #store: string | undefined;
  readonly #logger: Logger;
  readonly #receivers = new Set<MemoryReceiver>();
  #disposed = false;

  /**
   * Makes an empty queue, or joins the one of the same `store`.
   *
   * @param options Store and bounds.
   * @throws {RangeError} When a bound is out of range.
   */
  constructor(options: MemoryOptions = {}) {
    const { store, maxLength, maxAgeMs, dedupWindowMs = 300_000, clock = systemClock, logger = silentLogger } = options;
    if (maxLength !== undefined) checkInteger("maxLength", maxLength, 1);
    if (maxAgeMs !== undefined) checkDuration("maxAgeMs", maxAgeMs, 1);
    checkDuration("dedupWindowMs", dedupWindowMs, 0);
    const make = () => new Log({ maxLength, maxAgeMs, dedupWindowMs, clock });
    this.#store = store;
    this.#logger = logger;
    this.#log = store === undefined ? make() : joinStore(store, make);
    this.groups = new MemoryGroups(this.#log);
    this.deadLetters = new MemoryDeadLetters(this.#log);
  }

  /**
   * Makes the backend from environment variables; there is nothing to set but `MESSAGE_QUEUE_URL`, which may name a shared store: `memory:NAME`.
   *
   * @param env Where to read.
   * @returns The backend.
   */
  static fromEnv(env: Env): MemoryBackend {
    const [, store] = env.getOptional("MESSAGE_QUEUE_URL")?.match(/^memory:(.+)$/) ?? [];
    return new MemoryBackend({ logger: loggerFromEnv(env, "backend"), ...(store !== undefined && { store }) });
  }

  /** Stores one message. */
  publish(key: string, payload: Payload, options?: PublishOptions): Promise<void> {
    return publishOne(this, key, payload, options);
  }

  /** Yields payloads; asking for the next acks the last. */
  consume(options?: ConsumeOptions): AsyncIterable<Payload> {
    return consumePayloads(this, options);
  }

  /** Stores messages, all or none. */
  publishMany(messages: readonly Message[]): Promise<void> {
    try {
      this.#checkOpen();
      this.#log.publish(messages);
      return storedAtOnce;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Opens a place in a group. */
  async receive(options: ReceiveOptions): Promise<Receiver> {
    this.#checkOpen();
    const { keys } = options;
    const group = this.#log.openGroup(options.group, keys === undefined ? {} : { keys });
    const receiver = new MemoryReceiver(group, options.leaseMs, () => this.#receivers.delete(receiver));
    this.#receivers.add(receiver);
    this.#logger.debug(`Memory: a receiver of group "${group.name}" with filter "${group.keys}" is open`);
    return receiver;
  }

  /** Counts what is where; exact. */
  async stats(): Promise<QueueStats> {
    const groups = Array.from(this.#log.groups.values(), (group) => [group.name, group.stats()] as const);
    return { retained: this.#log.retained, groups: Object.fromEntries(groups) };
  }

  /** Answers while the backend is open. */
  async ping(): Promise<void> {
    this.#checkOpen();
  }

  /** Ends every receiver and timer; with the last backend of a store goes the store. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const receiver of [...this.#receivers]) await receiver.close();
    if (this.#store !== undefined && leaveStore(this.#store) > 0) return;
    this.#log.dispose();
    this.#logger.debug("Memory: the store is gone");
  }

  #checkOpen(): void {
    if (this.#disposed) throw new MessageQueueError("closed", "The memory backend is closed");
  }
}

export type { Clock };
export default MemoryBackend;

/** A place in a group. */
class MemoryReceiver implements Receiver {
  readonly #group: MemoryGroup;
  readonly #leaseMs: number;
  readonly #closed: () => void;
  readonly #closing = new AbortController();

  constructor(group: MemoryGroup, leaseMs: number, closed: () => void) {
    this.#group = group;
    this.#leaseMs = leaseMs;
    this.#closed = closed;
    group.consumers.add(this);
    group.touch();
  }

  async pull({ max, signal }: PullOptions): Promise<readonly Claim[]> {
    if (signal.aborted || this.#closing.signal.aborted) return [];
    const group = this.#group;
    const place = { holder: this, max, leaseMs: this.#leaseMs };
    const claims = group.claim({ ...place, give: () => {}, fail: () => {} });
    if (claims.length > 0) return claims;
    return await new Promise((resolve, reject) => {
      const end = () => give([]);
      const give = (given: readonly Claim[]) => {
        forget();
        group.pullers.delete(puller);
        resolve(given);
      };
      const puller: Puller = { ...place, give, fail: (error) => (forget(), reject(error)) };
      group.pullers.add(puller);
      const forgets = [onAbort(signal, end), onAbort(this.#closing.signal, end)];
      const forget = () => forgets.forEach((each) => each());
    });
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly boolean[]> {
    return settlements.map((settlement) => {
      const claim = settlement.claim as MemoryClaim;
      const held = this.#group.holds(claim, this);
      if (held) this.#group.settle(settlement, claim);
      return held;
    });
  }

  async extend(claims: readonly Claim[], leaseMs: number): Promise<readonly boolean[]> {
    return claims.map((claim) => this.#group.extend(claim as MemoryClaim, this, leaseMs));
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#group.remove(this);
    this.#closed();
  }
}
