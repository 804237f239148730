/**
 * One connection to one server.
 *
 * It lives once: when it breaks, everything on its way is rejected and the next use opens another. Trying again is the queue's
 * business, so the client's own reconnection and its offline queue are off, and so is its timer for each command; a single
 * watchdog notices a server that does not answer (also a connection whose other end vanished).
 *
 * @module
 */

import type { RedisTlsOptions, RedisUrl } from "./options.ts";
import { ConfigError, MessageQueueError } from "../../core/errors.ts";

/** The part of npm `redis` that is used. */
export interface RedisClient {
  /** Connects. */
  connect(): Promise<unknown>;
  /** Sends a command; commands of one tick leave together, in order. */
  sendCommand(args: readonly string[]): Promise<unknown>;
  /** Closes at once, rejecting what is on its way. */
  destroy(): void;
  /** Makes another of its kind; absent means that `createClient` is called. */
  duplicate?(options: Record<string, unknown>): RedisClient;
  /** Listens. */
  on(event: "error", listener: (error: unknown) => void): unknown;
}

/** `createClient` of npm `redis`, or one that does the same. */
export type CreateRedisClient = (options: Record<string, unknown>) => RedisClient;

/** How connections are opened. */
export interface ConnectionOptions {
  readonly createClient: CreateRedisClient;
  readonly tls: RedisTlsOptions;
  readonly timeoutMs: number;
}

/** Where a server is. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Thrown into what waits when a connection is given up. */
class ConnectionLostError extends Error {
  override name = "ConnectionLostError";
}

/** An open connection. */
export class Connection {
  /** The number by which the server knows it, for CLIENT UNBLOCK. */
  readonly clientId: string;
  /** `standalone`, `cluster` or `sentinel`. */
  readonly mode: string;
  /** `master` or `replica`. */
  readonly role: string;
  /** `host:port`. */
  readonly at: string;
  readonly #client: RedisClient;
  readonly #timeoutMs: number;
  readonly #lost: (error: Error) => void;
  #open = true;
  /** A command whose answer is looked out for, and the last one that was sent: answers come in order, so two are enough. */
  #watched: Promise<unknown> | undefined;
  #last: Promise<unknown> | undefined;
  /** When the last answer was seen, or the first command was sent after a rest. */
  #heard = 0;
  /** Until when a blocking read may be silent. */
  #patience = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #warned = false;
  readonly #whenLost: Promise<never>;

  private constructor(client: RedisClient, at: string, hello: Hello, timeoutMs: number, lost: Lost) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    this.at = at;
    this.clientId = hello.id;
    this.mode = hello.mode;
    this.role = hello.role;
    this.#whenLost = lost.promise;
    this.#lost = lost.reject;
    lost.promise.catch(() => this.close());
  }

  /**
   * Opens a connection and checks who answers.
   *
   * @param url How to log in.
   * @param address Where.
   * @param options How.
   * @returns The connection.
   * @throws {ConfigError} When the server is too old.
   */
  static async open(url: RedisUrl, address: Address, options: ConnectionOptions): Promise<Connection> {
    const { timeoutMs } = options;
    const client = options.createClient({
      RESP: 2,
      ...(url.username !== undefined && url.password !== undefined && { username: url.username }),
      ...(url.password !== undefined && { password: url.password }),
      database: url.database,
      disableClientInfo: true,
      maintNotifications: "disabled",
      disableOfflineQueue: true,
      commandsQueueMaxLength: 100_000,
      commandOptions: { timeout: undefined },
      socket: {
        ...address,
        connectTimeout: timeoutMs,
        reconnectStrategy: false,
        ...(url.tls && { tls: true, servername: isName(address.host) ? address.host : undefined, ...options.tls }),
      },
    });
    const lost = Promise.withResolvers<never>();
    lost.promise.catch(() => undefined);
    client.on("error", (error) => lost.reject(error as Error));
    const at = `${address.host}:${address.port}`;
    const late = Promise.withResolvers<never>();
    // The client's own limit ends with the handshake of TCP; a server that accepts and says nothing would hold us for ever.
    const timer = setTimeout(
      () =>
        late.reject(
          new ConnectionLostError(`no answer from ${at} within ${timeoutMs} ms${url.tls ? " over TLS" : ""}`),
        ),
      timeoutMs,
    );
    try {
      const connecting = client.connect();
      connecting.catch(() => undefined);
      await Promise.race([connecting, late.promise]);
      const hello = readHello(await Promise.race([client.sendCommand(["HELLO"]), lost.promise, late.promise]));
      if (!(Number(hello.version.split(".")[0]) >= 7)) {
        throw new ConfigError([
          `Redis at ${at} is ${hello.version || "of an unknown version"}: at least 7.0 is needed`,
        ]);
      }
      return new Connection(client, at, hello, timeoutMs, lost);
    } catch (error) {
      client.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Whether it can be used. */
  get isOpen(): boolean {
    return this.#open;
  }

  /**
   * Sends a command.
   *
   * @param args The command.
   * @param blockMs For how long the server may be silent before it answers, in milliseconds.
   * @returns The reply.
   */
  send(args: readonly string[], blockMs: number = 0): Promise<unknown> {
    if (!this.#open) {
      return Promise.reject(
        new MessageQueueError("connection", `The connection to ${this.at} is closed`, { retryable: true }),
      );
    }
    if (blockMs > 0) this.#patience = performance.now() + blockMs;
    const reply = this.#last = this.#client.sendCommand(args);
    if (this.#watched === undefined) {
      this.#heard = performance.now();
      this.#timer ??= setTimeout(() => this.#watch(), this.#timeoutMs);
      this.#look(reply);
    }
    return reply;
  }

  #look(reply: Promise<unknown>): void {
    this.#watched = reply;
    reply.then(this.#answered, this.#answered);
  }

  readonly #answered = () => {
    this.#heard = performance.now();
    this.#warned = false;
    const last = this.#last;
    if (last === undefined || last === this.#watched) this.#watched = this.#last = undefined;
    else this.#look(last);
  };

  #watch(): void {
    this.#timer = undefined;
    if (this.#watched === undefined || !this.#open) return;
    const rest = Math.max(this.#heard, this.#patience) + this.#timeoutMs - performance.now();
    if (rest > 0) {
      this.#warned = false;
      this.#timer = setTimeout(() => this.#watch(), Math.max(10, rest));
    } else if (!this.#warned) {
      // A busy event loop runs this timer before it reads answers that are there: look once more, after it could.
      this.#warned = true;
      this.#timer = setTimeout(() => this.#watch(), 100);
    } else {
      this.#lost(new ConnectionLostError(`no answer from ${this.at} within ${this.#timeoutMs} ms`));
      this.close();
    }
  }

  /** Rejects when the connection is lost. */
  get lost(): Promise<never> {
    return this.#whenLost;
  }

  /** Closes at once; what is on its way is rejected. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#timer);
    this.#lost(new ConnectionLostError(`the connection to ${this.at} was closed`));
    this.#client.destroy();
  }
}

interface Lost {
  readonly promise: Promise<never>;
  readonly reject: (error: Error) => void;
}

interface Hello {
  readonly id: string;
  readonly version: string;
  readonly mode: string;
  readonly role: string;
}

function readHello(reply: unknown): Hello {
  const fields = new Map<string, string>();
  if (Array.isArray(reply)) {
    for (let i = 0; i + 1 < reply.length; i += 2) fields.set(String(reply[i]), String(reply[i + 1]));
  }
  const get = (name: string) => fields.get(name) ?? "";
  return { id: get("id"), version: get("version"), mode: get("mode"), role: get("role") };
}

// A server name for TLS (SNI) is a host name, never an address.
function isName(host: string): boolean {
  return !/^[\d.]+$|:/.test(host);
}
