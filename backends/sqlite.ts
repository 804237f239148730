/**
 * A durable queue in one file, shared by the processes and runtimes of one machine, with nothing to install.
 *
 * `MESSAGE_QUEUE_BACKEND=sqlite` and, where the default `./abe-mq.db` does not do, `MESSAGE_QUEUE_URL=file:./events.db`. Uses
 * `node:sqlite`, which Deno (2.9), Bun (1.4) and Node (24) all have. The file must be on a local disk: the processes that use it share
 * memory.
 *
 * @example
 * ```ts ignore
 * import { MessageQueue } from "@abe/mq";
 * import { SqliteBackend } from "@abe/mq/sqlite";
 *
 * await using mq = new MessageQueue(new SqliteBackend({ path: "./events.db" }));
 * await mq.publish("order.created", { id: 1 });
 * ```
 *
 * @module
 */

import type {
  Capabilities,
  ConsumeOptions,
  DeadLetterStore,
  DurableBackend,
  Finding,
  GroupStore,
  QueueStats,
  ReceiveOptions,
  Receiver,
} from "../core/backend.ts";
import type { Payload } from "../core/codec.ts";
import { consumePayloads } from "../core/consumer.ts";
import type { Env } from "../core/env.ts";
import { MessageQueueError } from "../core/errors.ts";
import type { Message, PublishOptions } from "../core/message.ts";
import { publishOne } from "../core/publish.ts";
import { SqliteDeadLetters } from "./sqlite/dead_letters.ts";
import { diagnose } from "./sqlite/diagnose.ts";
import { storageError } from "./sqlite/errors.ts";
import { SqliteGroups } from "./sqlite/groups.ts";
import { optionsFromEnv, type Settings, settingsFrom, type SqliteOptions } from "./sqlite/options.ts";
import { openSession, type Session } from "./sqlite/session.ts";
import { stats } from "./sqlite/stats.ts";

export type { SqliteOptions } from "./sqlite/options.ts";

/**
 * A durable queue in one file.
 *
 * Opens the file at its first use, and makes it (mode 0600) when there is none. Any number of processes may have it open. Every call rejects
 * with a `MessageQueueError`: `storage` when the file is no queue or cannot be read or written (it is then left as it was), `connection`,
 * which the queue tries again, when another process held its lock for too long, `closed` after it was disposed, `unsupported` when the
 * runtime is too old.
 *
 * @example
 * ```ts
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { MessageQueue } from "@abe/mq";
 * import { SqliteBackend } from "@abe/mq/sqlite";
 *
 * const path = join(tmpdir(), `${crypto.randomUUID()}.db`);
 * await using mq = new MessageQueue(new SqliteBackend({ path, maxLength: 10_000 }));
 * await mq.publish("order.created", { id: 1 });
 * for await (const payload of mq.consume({ group: "billing", keys: "order.*" })) {
 *   console.assert("id" in payload);
 *   break;
 * }
 * ```
 */
export class SqliteBackend implements DurableBackend {
  /** All of them. */
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
    durable: true,
    codecs: true,
  };
  /** Makes, changes and removes groups. */
  readonly groups: GroupStore;
  /** Looks into dead letters. */
  readonly deadLetters: DeadLetterStore;
  readonly #settings: Settings;
  #session: Promise<Session> | undefined;
  /** The session once it is open, until it is closed. */
  #ready: Session | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Checks the options; opens nothing yet.
   *
   * @param options How to set it up.
   * @throws {ConfigError} Naming every option that is wrong.
   */
  constructor(options: SqliteOptions = {}) {
    this.#settings = settingsFrom(options);
    const store = async () => (await this.#open()).store;
    this.groups = new SqliteGroups(store, async () => await (await this.#open()).maintenance.expire());
    this.deadLetters = new SqliteDeadLetters(store);
  }

  /**
   * Makes a backend from environment variables; {@linkcode SqliteOptions} names them.
   *
   * @param env Where to read them, one by one.
   * @returns The backend, which opens the file at its first use.
   * @throws {ConfigError} Naming every variable that is wrong.
   */
  static fromEnv(env: Env): SqliteBackend {
    return new SqliteBackend(optionsFromEnv(env));
  }

  #open(): Promise<Session> {
    if (this.#closing !== undefined) {
      return Promise.reject(
        new MessageQueueError("closed", `Cannot use the queue file ${this.#settings.path}: the backend is closed`),
      );
    }
    if (this.#session === undefined) {
      const session = openSession(this.#settings);
      this.#session = session;
      session.then((ready) => {
        if (this.#closing === undefined) this.#ready = ready;
      }, () => {
        // What failed may be mended by the next use.
        this.#session = undefined;
      });
    }
    return this.#session;
  }

  /** Opens the file ahead of the first use. */
  async connect(): Promise<void> {
    await this.#open();
  }

  /** Stores one message; resolves once it is committed. */
  publish(key: string, payload: Payload, options?: PublishOptions): Promise<void> {
    return publishOne(this, key, payload, options);
  }

  /** Stores several messages, all or none. */
  async publishMany(messages: readonly Message[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    options.signal?.throwIfAborted();
    // Once it is open, a publish reaches the writer in the turn in which it was made.
    const { publisher } = this.#ready ?? await this.#open();
    if (messages.length > 0) await publisher.publish(messages, options.signal);
  }

  /** Yields payloads; asking for the next acks the last. */
  consume(options?: ConsumeOptions): AsyncIterable<Payload> {
    return consumePayloads(this, options);
  }

  /** Opens a place in a group. */
  async receive(options: ReceiveOptions): Promise<Receiver> {
    const session = await this.#open();
    const { group, keys, leaseMs } = options;
    return await session.receive(group, keys === undefined ? {} : { keys }, leaseMs);
  }

  /** Counts what is where; more than 10,000 of a kind in a group are estimated. */
  async stats(): Promise<QueueStats> {
    return await stats((await this.#open()).store);
  }

  /** Resolves when the file can be read. */
  async ping(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const { connection } = (await this.#open()).store;
    try {
      connection.get("select 1 from exchange limit 1");
    } catch (error) {
      throw storageError("read", this.#settings.path, error);
    }
  }

  /** Looks at the file's durability and mode, and at the clock. */
  async diagnose(): Promise<readonly Finding[]> {
    return await diagnose((await this.#open()).store);
  }

  /** Finishes what was handed in and closes the file. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#ready = undefined;
    // A file that could not be opened needs no closing.
    const session = await this.#session?.catch(() => undefined);
    await session?.close();
  }
}

export default SqliteBackend;
