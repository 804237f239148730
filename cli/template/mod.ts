/**
 * The acorn backend for `@abe/mq`: three methods over an engine that keeps messages in files.
 *
 * Replace `engine.ts` by a client of your broker; what stays is here.
 *
 * @module
 */

// Types alone: the backend then works with whichever copy of the package its host has.
import type { Capabilities, ConsumeOptions, Env, MessageQueueBackend, Payload, PublishOptions } from "@abe/mq";
import { Engine } from "./engine.ts";
import { configError } from "./errors.ts";

/** How an {@linkcode AcornBackend} is set up. */
export interface AcornOptions {
  /** The folder of the messages. By default `./messages`. */
  readonly folder?: string;
  /** The namespace of the messages in the folder. By default `application_events`. */
  readonly exchange?: string;
  /** After so many milliseconds without a sign of life, what a consumer held comes again. By default 30,000. */
  readonly leaseMs?: number;
}

/** Messages in the files of a folder, shared by the processes of one machine. */
export default class AcornBackend implements MessageQueueBackend {
  /** What it guarantees. Each one that you add is tried by the conformance kit. */
  readonly capabilities: Capabilities = { durable: true };
  readonly #engine: Engine;

  /**
   * Makes a backend, which touches nothing before its first use.
   *
   * @param options How to set it up.
   */
  constructor(options: AcornOptions = {}) {
    const { folder = "./messages", exchange = "application_events", leaseMs = 30_000 } = options;
    this.#engine = new Engine(folder, exchange, leaseMs);
  }

  /**
   * Makes a backend from environment variables.
   *
   * @param env Where to read them, one by one.
   * @returns The backend.
   * @throws A `ConfigError` that tells every problem at once.
   */
  static fromEnv(env: Env): AcornBackend {
    const problems: string[] = [];
    const folder = env.get("MESSAGE_QUEUE_PATH");
    const exchange = env.get("MESSAGE_QUEUE_EXCHANGE");
    const lease = env.get("MESSAGE_QUEUE_LEASE_MS");
    if (exchange !== undefined && exchange.length > 200) {
      problems.push("MESSAGE_QUEUE_EXCHANGE must have at most 200 characters");
    }
    if (lease !== undefined && !/^[1-9]\d{2,8}$/.test(lease)) {
      problems.push("MESSAGE_QUEUE_LEASE_MS must be a whole number of milliseconds, at least 100");
    }
    if (problems.length > 0) throw configError(problems);
    return new AcornBackend({
      ...(folder !== undefined && { folder }),
      ...(exchange !== undefined && { exchange }),
      ...(lease !== undefined && { leaseMs: Number(lease) }),
    });
  }

  /**
   * Stores a message; resolves once it is on the disk.
   *
   * @param key The message's key, kept beside the payload for whoever looks into the folder.
   * @param payload The payload.
   * @param options Its signal gives up.
   */
  async publish(key: string, payload: Payload, options: PublishOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    await this.#engine.put(JSON.stringify({ key, payload }));
  }

  /**
   * Yields payloads. Asking for the next acks the last; ending the iteration gives it back.
   *
   * @param options Its signal ends the iteration.
   */
  async *consume({ signal }: ConsumeOptions = {}): AsyncGenerator<Payload> {
    while (!signal?.aborted && !this.#engine.closed) {
      const message = await this.#engine.take();
      if (message === undefined) {
        await this.#engine.wait(signal);
        continue;
      }
      let isDone = false;
      try {
        if (signal?.aborted) return;
        yield JSON.parse(message.text).payload;
        isDone = true;
      } finally {
        await (isDone ? message.ack() : message.release());
      }
    }
  }

  /** Ends what waits. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#engine.close();
    return Promise.resolve();
  }
}
