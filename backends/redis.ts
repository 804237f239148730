/**
 * Redis Streams as a message queue: durable groups on a server, behind sentinels, or on a cluster.
 *
 * Needs Redis 7.0 or newer. What is stored, and under which keys, is described in `redis/names.ts`; settings for production in
 * `docs/redis.md`.
 *
 * @module
 */

import type {
  Capabilities,
  ConsumeOptions,
  DeadLetterStore,
  DurableBackend,
  Finding,
  GroupStats,
  GroupStore,
  QueueStats,
  ReceiveOptions,
  Receiver,
} from "../core/backend.ts";
import type { Payload } from "../core/codec.ts";
import { consumePayloads } from "../core/consumer.ts";
import type { Env } from "../core/env.ts";
import { describeError } from "../core/errors.ts";
import { type Logger, loggerFromEnv, silentLogger } from "../core/logger.ts";
import type { Message, PublishOptions } from "../core/message.ts";
import { publishOne } from "../core/publish.ts";
import { abortable } from "../core/signals.ts";
import { Broker } from "./redis/broker.ts";
import type { CreateRedisClient } from "./redis/connection.ts";
import { diagnose } from "./redis/diagnose.ts";
import { RedisDeadLetters } from "./redis/dead_letters.ts";
import { RedisGroups } from "./redis/groups.ts";
import { Keeper, staleMs } from "./redis/keeper.ts";
import { checkOptions, optionsFromEnv, type RedisBackendOptions, type RedisSettings } from "./redis/options.ts";
import { Publisher } from "./redis/publisher.ts";
import { RedisReceiver } from "./redis/receiver.ts";

export type { RedisBackendOptions, RedisTlsOptions } from "./redis/options.ts";
export type { CreateRedisClient, RedisClient } from "./redis/connection.ts";

/** What a {@linkcode RedisBackend} can be given beside its options. */
export interface RedisBackendParts {
  /** Where it tells what it tries again. */
  readonly logger?: Logger;
  /** `createClient` of npm `redis`; absent means it is imported at the first connection. */
  readonly createClient?: CreateRedisClient;
}

// A publisher without consumers drops groups that nobody wants any more, so that they hold nothing back.
const sweepMs = 5_000;

/**
 * A message queue on Redis Streams.
 *
 * @example
 * ```ts ignore
 * import { MessageQueue } from "@abe/mq";
 * import { RedisBackend } from "@abe/mq/redis";
 *
 * await using queue = new MessageQueue(new RedisBackend({ url: "redis://localhost:6379" }));
 * await queue.publish("order.created", { id: 1 });
 * ```
 */
export class RedisBackend implements DurableBackend {
  /** What it guarantees: everything; a batch is stored whole or not at all where there is one partition. */
  readonly capabilities: Capabilities;
  /** Makes and removes groups. */
  readonly groups: GroupStore;
  /** Looks into dead letters. */
  readonly deadLetters: DeadLetterStore;
  readonly #broker: Broker;
  readonly #groups: RedisGroups;
  readonly #publisher: Publisher;
  readonly #logger: Logger;
  readonly #keepers = new Map<string, Keeper>();
  readonly #receivers = new Set<RedisReceiver>();
  #sweeper: ReturnType<typeof setTimeout> | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Checks the options; nothing is connected before the first use.
   *
   * @param options How to reach Redis.
   * @param parts What else it is made of.
   * @throws {ConfigError} With everything that is wrong with the options.
   */
  constructor(options: RedisBackendOptions = {}, parts: RedisBackendParts = {}) {
    const settings: RedisSettings = checkOptions(options);
    const { createClient } = parts;
    this.#logger = parts.logger ?? silentLogger;
    this.#broker = new Broker(settings, createClient === undefined ? undefined : () => Promise.resolve(createClient));
    this.#publisher = new Publisher(this.#broker);
    this.groups = this.#groups = new RedisGroups(this.#broker);
    this.deadLetters = new RedisDeadLetters(this.#broker);
    this.capabilities = {
      groups: true,
      keys: true,
      leases: true,
      delay: true,
      ordering: true,
      dedup: true,
      deadLetters: true,
      retention: true,
      expiry: true,
      stats: true,
      durable: true,
      ...(settings.partitions === 1 && { atomicBatch: true }),
    };
  }

  /**
   * Makes a backend from environment variables: `MESSAGE_QUEUE_URL` or `REDIS_URL`, or `MESSAGE_QUEUE_HOST` and its like; `docs/redis.md` lists all.
   *
   * @param env Where they are read.
   * @returns The backend, not connected yet.
   * @throws {ConfigError} With every variable that is wrong.
   */
  static fromEnv(env: Env): RedisBackend {
    return new RedisBackend(optionsFromEnv(env), { logger: loggerFromEnv(env, "backend") });
  }

  /** Connects to every server that has a part of the exchange, and checks its version. */
  async connect(): Promise<void> {
    await this.#broker.connect();
  }

  /** See {@linkcode MessageQueueBackend.publish}. */
  publish(key: string, payload: Payload, options?: PublishOptions): Promise<void> {
    return publishOne(this, key, payload, options);
  }

  /** See {@linkcode MessageQueueBackend.consume}. */
  consume(options?: ConsumeOptions): AsyncIterable<Payload> {
    return consumePayloads(this, options);
  }

  /** See {@linkcode MessageQueueBackend.publishMany}. */
  publishMany(messages: readonly Message[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const published = this.#publisher.publish(messages);
    if (this.#sweeper === undefined && this.#closing === undefined) {
      this.#sweeper = setTimeout(() => this.#sweep(), sweepMs);
    }
    // What was sent cannot be called back; only the wait for it ends.
    return signal === undefined ? published : abortable(published, signal);
  }

  /** See {@linkcode MessageQueueBackend.receive}. */
  async receive({ group, keys, leaseMs }: ReceiveOptions): Promise<Receiver> {
    const consumer = crypto.randomUUID();
    await this.#groups.make(group, keys === undefined ? {} : { keys }, { consumer, leaseMs });
    let keeper = this.#keepers.get(group);
    if (keeper === undefined) this.#keepers.set(group, keeper = new Keeper(this.#broker, group, this.#logger));
    const receiver: RedisReceiver = new RedisReceiver({
      broker: this.#broker,
      keeper,
      logger: this.#logger,
      group,
      consumer,
      leaseMs,
      onClose: () => this.#receivers.delete(receiver),
    });
    this.#receivers.add(receiver);
    return receiver;
  }

  /** See {@linkcode MessageQueueBackend.stats}. */
  async stats(): Promise<QueueStats> {
    const replies = await Promise.all(
      this.#broker.partitions.map(({ partition }) => this.#broker.run("stats", partition, [String(staleMs)], "count")),
    );
    let retained = 0;
    const groups: Record<string, GroupStats> = Object.create(null);
    for (const reply of replies as readonly (readonly [number, ...(string | number)[]])[]) {
      retained += reply[0];
      for (let i = 1; i + 7 < reply.length; i += 8) {
        const name = String(reply[i]);
        const [ready = 0, delayed = 0, inFlight = 0, dead = 0, consumers = 0, oldestAgeMs = 0, approximate = 0] = reply
          .slice(i + 1, i + 8).map(Number);
        const sum = groups[name] ?? { ready: 0, delayed: 0, inFlight: 0, dead: 0, consumers: 0, oldestAgeMs: 0 };
        groups[name] = {
          ready: sum.ready + ready,
          delayed: sum.delayed + delayed,
          inFlight: sum.inFlight + inFlight,
          dead: sum.dead + dead,
          // The same consumers are in every partition.
          consumers: Math.max(sum.consumers, consumers),
          oldestAgeMs: Math.max(sum.oldestAgeMs, oldestAgeMs),
          ...((approximate === 1 || sum.approximate === true) && { approximate: true }),
        };
      }
    }
    return { retained, groups: { ...groups } };
  }

  /** See {@linkcode MessageQueueBackend.ping}. */
  async ping(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await abortable(this.#broker.send(0, ["PING"], "ping"), signal);
  }

  /** See {@linkcode MessageQueueBackend.diagnose}. Needs INFO and TIME; `appendfsync` is looked at where CONFIG GET is allowed. */
  async diagnose(signal?: AbortSignal): Promise<readonly Finding[]> {
    signal?.throwIfAborted();
    return await abortable(diagnose(this.#broker), signal);
  }

  /** Closes what is open. Never hangs. */
  [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#sweeper);
    return this.#closing ??= (async () => {
      await Promise.all([...this.#receivers].map((receiver) => receiver.close()));
      this.#broker.close();
    })();
  }

  #sweep(): void {
    this.#sweeper = undefined;
    for (const { partition } of this.#broker.partitions) {
      this.#broker.run("sweep", partition, [], "sweep groups").catch((error) => {
        this.#logger.debug(`Cannot sweep groups: ${describeError(error)}`);
      });
    }
  }
}

/** The backend, by the name that discovery looks for. */
export default RedisBackend;
