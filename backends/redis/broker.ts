/**
 * The servers behind an exchange: connections for commands, one for each server; connections for blocked reads, one for each reader;
 * and scripts, called by digest.
 *
 * @module
 */

import { MessageQueueError } from "../../core/errors.ts";
import { Connection, type ConnectionOptions, type CreateRedisClient, type RedisClient } from "./connection.ts";
import { mapError, replyCode } from "./errors.ts";
import { nameExchange, type PartitionNames, valueTypes } from "./names.ts";
import type { RedisSettings } from "./options.ts";
import { digests, type ScriptName, scriptNames, scripts } from "./scripts/mod.ts";
import { findRoutes, type Routes } from "./topology.ts";

/** How many idle readers are kept for the next who wants to block. */
const idleReaders = 8;

/** The servers of one exchange. */
export class Broker {
  /** The options. */
  readonly settings: RedisSettings;
  /** The partitions. */
  readonly partitions: readonly PartitionNames[];
  readonly #createClient: (() => Promise<CreateRedisClient>) | undefined;
  #options: Promise<ConnectionOptions> | undefined;
  #routes: Promise<Routes> | undefined;
  #known: Routes | undefined;
  readonly #opening = new Map<string, Promise<Connection>>();
  readonly #live: (Connection | undefined)[] = [];
  readonly #idle = new Map<string, Connection[]>();
  readonly #readers = new Set<Connection>();
  #closed = false;

  /**
   * @param settings The options.
   * @param createClient Gives `createClient` of npm `redis`; absent means it is imported.
   */
  constructor(settings: RedisSettings, createClient?: () => Promise<CreateRedisClient>) {
    this.settings = settings;
    this.partitions = nameExchange(settings.exchange, settings.partitions);
    this.#createClient = createClient;
  }

  /** Whether a command may touch one partition alone. Known once something was sent. */
  get isCluster(): boolean {
    return this.#known?.cluster ?? false;
  }

  /** Connects to every server that has a partition. */
  async connect(): Promise<void> {
    await Promise.all(this.partitions.map(({ partition }) => this.#commands(partition, "connect")));
  }

  /**
   * Runs a script on a partition.
   *
   * @param script Which.
   * @param partition Where.
   * @param args Its arguments.
   * @param action What it is for, for the text of an error.
   * @returns The reply.
   */
  async run(script: ScriptName, partition: number, args: readonly string[], action: string): Promise<unknown> {
    const connection = this.open(partition) ?? await this.#commands(partition, action);
    const stream = this.#names(partition).stream;
    const digest = digests[script];
    try {
      return await connection.send(["EVALSHA", digest, "1", stream, ...args]);
    } catch (error) {
      if (replyCode(error) !== "NOSCRIPT") throw await this.#failed(error, partition, action);
    }
    // SCRIPT FLUSH, or a server that was restarted. Nothing ran.
    try {
      await connection.send(["SCRIPT", "LOAD", scripts[script]]);
      return await connection.send(["EVALSHA", digest, "1", stream, ...args]);
    } catch (error) {
      throw await this.#failed(error, partition, action);
    }
  }

  /**
   * Runs a script on a partition, then waits until replicas have what it wrote (WAIT).
   *
   * @returns The reply, and how many replicas have it.
   */
  async runAndWait(
    script: ScriptName,
    partition: number,
    args: readonly string[],
    action: string,
    replicas: number,
    waitMs: number,
  ): Promise<readonly [unknown, number]> {
    const connection = await this.#commands(partition, action);
    try {
      const call = ["EVALSHA", digests[script], "1", this.#names(partition).stream, ...args];
      // Both in one tick, on one connection: WAIT is about what its connection wrote last.
      const reply = connection.send(call);
      const waited = connection.send(["WAIT", String(replicas), String(waitMs)], waitMs);
      const [first, count] = await Promise.allSettled([reply, waited]);
      if (first.status === "rejected") {
        if (replyCode(first.reason) !== "NOSCRIPT") throw first.reason;
        await connection.send(["SCRIPT", "LOAD", scripts[script]]);
        return await this.runAndWait(script, partition, args, action, replicas, waitMs);
      }
      if (count.status === "rejected") throw count.reason;
      return [first.value, Number(count.value)];
    } catch (error) {
      throw await this.#failed(error, partition, action);
    }
  }

  /**
   * Sends commands as one (MULTI, EXEC): all are done or none.
   *
   * @param partition Where.
   * @param commands The commands.
   * @param action What they are for, for the text of an error.
   */
  async transaction(partition: number, commands: readonly (readonly string[])[], action: string): Promise<void> {
    const connection = this.open(partition) ?? await this.#commands(partition, action);
    // In one tick: nobody else's command comes between. One that is refused makes EXEC do nothing, and its own error says why.
    const sent = [["MULTI"], ...commands, ["EXEC"]].map((command) => connection.send(command));
    const replies = await Promise.allSettled(sent);
    const refused = replies.find((reply) => reply.status === "rejected");
    if (refused !== undefined) throw await this.#failed(refused.reason, partition, action);
    const last = replies.at(-1);
    const done = last?.status === "fulfilled" && Array.isArray(last.value) ? last.value : [];
    const failure = done.find((reply) => reply instanceof Error);
    if (failure !== undefined) throw await this.#failed(failure, partition, action);
  }

  /** The connection for a partition's commands, if it is open: for what is sent message by message. Map what it rejects by `fail`. */
  open(partition: number): Connection | undefined {
    const connection = this.#live[partition];
    return connection?.isOpen ? connection : undefined;
  }

  /** Sends a command to the server of a partition. */
  async send(partition: number, args: readonly string[], action: string): Promise<unknown> {
    const connection = this.open(partition) ?? await this.#commands(partition, action);
    try {
      return await connection.send(args);
    } catch (error) {
      throw await this.#failed(error, partition, action);
    }
  }

  /** A connection to block on, until it is given back or closed. */
  async takeReader(partition: number): Promise<Connection> {
    const connection = await this.#commands(partition, "receive");
    let reader: Connection | undefined;
    const idle = this.#idle.get(connection.at);
    while ((reader = idle?.pop()) !== undefined) if (reader.isOpen) return reader;
    const route = (await this.#route(partition)).routes[partition];
    if (route === undefined) throw noPartition(partition);
    try {
      reader = await Connection.open(route.url, route.address, await this.#connectionOptions());
    } catch (error) {
      throw await this.#failed(error, partition, "receive");
    }
    if (this.#closed) {
      reader.close();
      throw closed();
    }
    this.#readers.add(reader);
    return reader;
  }

  /** Gives a reader back that waits for nothing. */
  giveReader(reader: Connection): void {
    const idle = this.#idle.get(reader.at) ?? [];
    this.#idle.set(reader.at, idle);
    if (reader.isOpen && !this.#closed && idle.length < idleReaders) idle.push(reader);
    else this.dropReader(reader);
  }

  /** Closes a reader. */
  dropReader(reader: Connection): void {
    this.#readers.delete(reader);
    reader.close();
  }

  /** Makes an error of the queue, and looks for the servers anew where they may have changed their parts. */
  async fail(error: unknown, partition: number, action: string): Promise<MessageQueueError> {
    return await this.#failed(error, partition, action);
  }

  /** Closes every connection at once. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#live) connection?.close();
    for (const opening of this.#opening.values()) opening.then((connection) => connection.close(), () => undefined);
    for (const reader of this.#readers) reader.close();
    this.#live.length = 0;
    this.#opening.clear();
    this.#readers.clear();
    this.#idle.clear();
  }

  #names(partition: number): PartitionNames {
    const names = this.partitions[partition];
    if (names === undefined) throw noPartition(partition);
    return names;
  }

  async #connectionOptions(): Promise<ConnectionOptions> {
    const { tls, timeoutMs } = this.settings;
    this.#options ??= (this.#createClient ?? importClient)()
      .then((createClient) => ({ createClient: duplicating(createClient), tls, timeoutMs }));
    return await this.#options;
  }

  async #route(_partition: number): Promise<Routes> {
    if (this.#closed) throw closed();
    const finding = this.#routes ??= this.#connectionOptions()
      .then((options) => findRoutes(this.settings, this.partitions, options));
    try {
      return this.#known = await finding;
    } catch (error) {
      if (this.#routes === finding) this.#routes = undefined;
      throw error;
    }
  }

  async #commands(partition: number, action: string): Promise<Connection> {
    if (this.#closed) throw closed();
    const live = this.open(partition);
    if (live !== undefined) return live;
    const route = (await this.#route(partition)).routes[partition];
    if (route === undefined) throw noPartition(partition);
    const at = `${route.address.host}:${route.address.port}`;
    // Partitions on one server share its connection, and concurrent first uses the attempt.
    let opening = this.#opening.get(at);
    if (opening === undefined) {
      const attempt = this.#open(route);
      opening = attempt;
      this.#opening.set(at, attempt);
      const forget = () => {
        if (this.#opening.get(at) === attempt) this.#opening.delete(at);
      };
      attempt.then((connection) => connection.lost.catch(forget), forget);
    }
    let connection: Connection;
    try {
      connection = await opening;
    } catch (error) {
      throw await this.#failed(error, partition, action);
    }
    if (this.#closed) {
      connection.close();
      throw closed();
    }
    return this.#live[partition] = connection;
  }

  async #open(route: Routes["routes"][number]): Promise<Connection> {
    const connection = this.#known?.takeSeed() ??
      await Connection.open(route.url, route.address, await this.#connectionOptions());
    try {
      const there = await connection.send(["SCRIPT", "EXISTS", ...scriptNames.map((name) => digests[name])]);
      const missing = scriptNames.filter((_, i) => (there as readonly number[])[i] !== 1);
      await Promise.all(missing.map((name) => connection.send(["SCRIPT", "LOAD", scripts[name]])));
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  async #failed(error: unknown, partition: number, action: string): Promise<MessageQueueError> {
    const code = replyCode(error);
    const mapped = mapError(error, { action, at: this.partitions[partition]?.stream });
    if (mapped.code === "connection" && code !== "LOADING" && code !== "TRYAGAIN" && code !== "BUSY") {
      // Somebody else may be the master now. Others that use the connection find out by themselves.
      this.#routes = undefined;
      const live = this.#live[partition];
      this.#live[partition] = undefined;
      if (code === "READONLY") live?.close();
    }
    if (code === "WRONGTYPE") return mapError(error, { action, at: await this.#wrongKey(partition) });
    return mapped;
  }

  // Which key holds another program's value; scripts do not say.
  async #wrongKey(partition: number): Promise<string> {
    const { prefix, stream } = this.#names(partition);
    const connection = this.open(partition);
    if (connection === undefined) return stream;
    try {
      const wrong = async (types: Readonly<Record<string, string>>, suffix: string) => {
        const keys = Object.keys(types).map((what) => ({ key: `${prefix}${what}${suffix}`, want: types[what] }));
        const found = await Promise.all(keys.map(({ key }) => connection.send(["TYPE", key])));
        return keys.find(({ want }, i) => found[i] !== "none" && found[i] !== want)?.key;
      };
      const own = await wrong(valueTypes.partition, "");
      if (own !== undefined) return own;
      for (const group of (await connection.send(["SMEMBERS", `${prefix}groups`])) as readonly string[]) {
        const key = await wrong(valueTypes.group, `:${group}`);
        if (key !== undefined) return key;
      }
    } catch {
      // Not allowed to look, or the connection broke: the stream's name tells which exchange it is.
      return stream;
    }
    return stream;
  }
}

async function importClient(): Promise<CreateRedisClient> {
  const { createClient } = await import("redis");
  return createClient as unknown as CreateRedisClient;
}

// `createClient` makes a class with all the commands there are at every call, which takes tens of milliseconds; a duplicate shares that of
// the first. The first is never connected.
const templates = new WeakMap<CreateRedisClient, RedisClient>();

function duplicating(createClient: CreateRedisClient): CreateRedisClient {
  return (options) => {
    const template = templates.get(createClient) ?? createClient({ RESP: 2, maintNotifications: "disabled" });
    if (template.duplicate === undefined) return createClient(options);
    templates.set(createClient, template);
    return template.duplicate(options);
  };
}

function closed(): MessageQueueError {
  return new MessageQueueError("closed", "Cannot use the Redis backend: it was closed");
}

function noPartition(partition: number): RangeError {
  return new RangeError(`Cannot use partition ${partition}: there is none`);
}
