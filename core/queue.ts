/**
 * What an application works with: any backend, with everything that backends do not have to bring.
 *
 * @module
 */

import { exponentialBackoff } from "./backoff.ts";
import {
  type Capabilities,
  defaultGroup,
  defaultLeaseMs,
  type DurableBackend,
  type MessageQueueBackend,
  type QueueStats,
} from "./backend.ts";
import { checkDuration, checkInteger, maxTimerMs } from "./check.ts";
import type { Payload } from "./codec.ts";
import { defaultPrefetch, DeliveryIterator, PayloadIterator } from "./consumer.ts";
import { DeadLetters, Groups } from "./administration.ts";
import type { Delivery } from "./delivery.ts";
import { describeError, MessageQueueError, type PublishFailure, PublishManyError } from "./errors.ts";
import { Intake, type Source } from "./intake.ts";
import { checkFilter, checkName } from "./keys.ts";
import { consoleLogger, type Logger } from "./logger.ts";
import { createMessage, type Message, type PublishOptions } from "./message.ts";
import type { MessageQueueOptions, OutgoingMessage, QueueState, ReceiveOptions, SubscribeOptions } from "./options.ts";
import { type BuryPlain, PlainReceiver, wrapPlain } from "./plain.ts";
import { Publisher } from "./publisher.ts";
import { type Handler, retryWithBackoff, Runner, type Subscription } from "./runner.ts";
import { abortable } from "./signals.ts";

const defaultPublishTimeoutMs = 30_000;
const defaultDrainTimeoutMs = 30_000;

/**
 * Wraps any backend: retry, reconnection, settlement, prefetch, lease renewal, drain and abort are done here, once for all.
 *
 * @example
 * ```ts
 * import { MessageQueue } from "@abe/mq";
 * import { MemoryBackend } from "@abe/mq/memory";
 *
 * await using mq = new MessageQueue(new MemoryBackend());
 * await mq.publish("order.created", { id: 1 });
 * for await (const payload of mq.consume()) {
 *   console.log(payload);
 *   break;
 * }
 * ```
 */
export class MessageQueue implements AsyncDisposable {
  /** The backend itself, as the plugin made it. */
  readonly backend: MessageQueueBackend;
  /** What the backend guarantees. */
  readonly capabilities: Capabilities;
  /** Makes, changes and removes groups. */
  readonly groups: Groups;
  /** Looks into dead letters. */
  readonly deadLetters: DeadLetters;
  readonly #options: MessageQueueOptions;
  readonly #logger: Logger;
  readonly #source: Source;
  readonly #publisher: Publisher;
  readonly #intakes = new Set<Intake>();
  readonly #runners = new Set<Runner>();
  readonly #troubles = new Set<unknown>();
  #state: QueueState = "open";
  #closing: Promise<void> | undefined;

  /**
   * Wraps a backend.
   *
   * @param backend The backend; it is disposed with the queue.
   * @param options Logger, dead letters, state.
   */
  constructor(backend: MessageQueueBackend, options: MessageQueueOptions = {}) {
    this.backend = backend;
    this.capabilities = backend.capabilities ?? {};
    this.#options = options;
    this.#logger = options.logger ?? consoleLogger(false);
    const backoff = options.reconnect ?? exponentialBackoff({ baseMs: 100, maxMs: 5_000 });
    this.groups = new Groups(backend, () => this.#checkOpen());
    this.deadLetters = new DeadLetters(backend, () => this.#checkOpen());
    this.#publisher = new Publisher({
      send: isDurable(backend)
        ? (messages, signal) => backend.publishMany(messages, signal && { signal })
        : (messages, signal) => sendPlain(backend, messages, signal),
      backoff,
      report: (error) => this.#report(this.#publisher, error),
    });
    this.#source = {
      open: isDurable(backend) ? (receive) => backend.receive(receive) : (receive) =>
        Promise.resolve(
          new PlainReceiver(backend, receive, this.capabilities.groups ? receive.prefetch : 1, this.#buryPlain()),
        ),
      leases: this.capabilities.leases === true,
      canDelay: this.capabilities.delay === true || !isDurable(backend),
      backoff,
      logger: this.#logger,
      report: (intake, error) => this.#report(intake, error),
      ended: (intake) => {
        this.#intakes.delete(intake);
        this.#report(intake);
      },
    };
  }

  /** How the queue stands with its broker. */
  get state(): QueueState {
    return this.#state;
  }

  /**
   * Stores one message as durably as the broker is configured to, for every group whose keys match. Tried again while the broker is
   * away; when the outcome of a try is unknown, a message without an `id` may then be there twice.
   *
   * @param key Words joined by dots, such as `order.created`.
   * @param payload An object or an array that JSON can hold.
   * @param options Headers, delay, ordering, id.
   * @returns The message's id.
   * @throws {TypeError | RangeError} When an argument is wrong.
   * @throws {MessageQueueError} `invalid_payload`, `unsupported`, `full`, `publish_timeout`, `storage`, `closed`.
   * @throws The signal's reason when it is aborted first.
   */
  async publish<T extends object>(key: string, payload: T, options: PublishOptions = {}): Promise<string> {
    const message = this.#message(key, payload, options);
    await this.#publisher.publish([message], this.#limits(options));
    return message.id;
  }

  /**
   * Stores several messages: all or none where the backend declares `atomicBatch`.
   *
   * @param messages What to store, in order.
   * @param options When to give up.
   * @returns The messages' ids, in order.
   * @throws {PublishManyError} Naming those that were not stored, when others were.
   * @throws As `publish`.
   */
  async publishMany(
    messages: Iterable<OutgoingMessage>,
    options: Pick<PublishOptions, "signal" | "publishTimeoutMs"> = {},
  ): Promise<string[]> {
    const batch = Array.from(messages, (each) => this.#message(each.key, each.payload, each));
    if (batch.length > 0) await this.#publisher.publish(batch, this.#limits(options));
    else this.#limits(options);
    return batch.map((message) => message.id);
  }

  /**
   * Yields payloads. Asking for the next one acks the last; `break`, `throw` and `return()` give it back and count an attempt.
   * The group is made, if need be, at the first `next()`.
   *
   * @param options Group, filter, signal, prefetch, lease.
   * @returns An iterator that ends normally when the signal is aborted or the queue is closed.
   * @throws {TypeError | RangeError} When an option is wrong.
   * @throws {MessageQueueError} `unsupported`, `closed`; from `next()` also `group_conflict` and what no retry mends.
   */
  consume<T extends object = Payload>(
    options: ReceiveOptions = {},
  ): AsyncIterableIterator<T, undefined> & AsyncDisposable {
    const intake = this.#intakeOptions(options);
    return new PayloadIterator(() => this.#intake({ ...intake, renewHanded: true })) as unknown as
      & AsyncIterableIterator<T, undefined>
      & AsyncDisposable;
  }

  /**
   * Yields deliveries, each to be settled by whoever takes it. What was not handed over when the iteration ends goes back; what was stays
   * with its holder until its lease ends.
   *
   * @param options Group, filter, signal, prefetch, lease.
   * @returns An iterator that ends normally when the signal is aborted or the queue is closed.
   * @throws As `consume`.
   */
  receive<T extends object = Payload>(
    options: ReceiveOptions = {},
  ): AsyncIterableIterator<Delivery<T>, undefined> & AsyncDisposable {
    const intake = this.#intakeOptions(options);
    return new DeliveryIterator(() => this.#intake({ ...intake, renewHanded: false })) as unknown as
      & AsyncIterableIterator<Delivery<T>, undefined>
      & AsyncDisposable;
  }

  /**
   * Keeps a handler busy: acks what it handled, retries what it failed, renews leases while it works.
   *
   * @param handler Handles one delivery; may settle it itself.
   * @param options Group, concurrency, retry, time limits.
   * @returns The subscription, once the group exists.
   * @throws As `consume`.
   *
   * @example
   * ```ts
   * import { MessageQueue } from "@abe/mq";
   * import { MemoryBackend } from "@abe/mq/memory";
   *
   * await using mq = new MessageQueue(new MemoryBackend());
   * const handled = Promise.withResolvers<void>();
   * await using subscription = await mq.subscribe<{ id: number }>((delivery) => {
   *   console.log(delivery.key, delivery.payload.id);
   *   handled.resolve();
   * }, { group: "billing", keys: "order.*", concurrency: 16 });
   * await mq.publish("order.created", { id: 1 });
   * await handled.promise;
   * ```
   */
  async subscribe<T extends object = Payload>(
    handler: Handler<T>,
    options: SubscribeOptions = {},
  ): Promise<Subscription> {
    if (typeof handler !== "function") {
      throw new TypeError(`Cannot subscribe ${typeof handler}: a handler is a function`);
    }
    const concurrency = checkInteger("concurrency", options.concurrency ?? 1, 1);
    if (concurrency > 1 && !isDurable(this.backend) && !this.capabilities.groups) {
      throw unsupported("concurrency", "groups");
    }
    const { timeoutMs, drainTimeoutMs = defaultDrainTimeoutMs, onError, signal } = options;
    if (timeoutMs !== undefined) checkDuration("timeoutMs", timeoutMs, 1, maxTimerMs);
    checkDuration("drainTimeoutMs", drainTimeoutMs, 0, maxTimerMs);
    const base = this.#intakeOptions(options);
    // More would lie in the buffer of a backend that can only give one message for each iteration.
    const most = isDurable(this.backend) ? Math.max(base.prefetch, options.prefetch ?? concurrency) : concurrency;
    signal?.throwIfAborted();
    // The runner ends the intake itself, so that handlers in hand are waited for.
    const { signal: _, ...rest } = base;
    const intake = this.#intake({ ...rest, prefetch: most, renewHanded: true });
    try {
      await abortable(intake.open(), signal);
    } catch (error) {
      await intake.close();
      throw error;
    }
    const runner = new Runner(intake, handler as unknown as Handler, {
      concurrency,
      retry: options.retry ?? retryWithBackoff(),
      timeoutMs,
      drainTimeoutMs,
      onError,
      signal,
      logger: this.#logger,
    });
    this.#runners.add(runner);
    const forget = () => void this.#runners.delete(runner);
    runner.closed.then(forget, forget);
    return runner;
  }

  /**
   * Counts what is where, by group.
   *
   * @returns The counts; those marked `approximate` are bounds.
   * @throws {MessageQueueError} `unsupported` when the backend cannot count.
   */
  async stats(): Promise<QueueStats> {
    this.#checkOpen();
    if (this.backend.stats === undefined) throw unsupported("stats", "stats");
    return await this.backend.stats();
  }

  /**
   * Asks the broker for an answer.
   *
   * @param options Ends the wait.
   * @throws {MessageQueueError} `unsupported` when the backend cannot be asked; `connection` when the broker does not answer.
   */
  async ping(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#checkOpen();
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.backend.ping === undefined) throw unsupported("ping", "ping");
    await abortable(this.backend.ping(signal), signal);
  }

  /**
   * Drains every subscription, ends every consumer, gives back what is held, waits for publishes under way, and disposes the backend. A second call
   * joins the first.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The same as `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#setState("closed");
    await Promise.all(Array.from(this.#runners, (runner) => runner.drain()));
    await Promise.all(Array.from(this.#intakes, (intake) => intake.close()));
    await this.#publisher.close();
    await this.backend[Symbol.asyncDispose]?.();
  }

  #message(key: string, payload: Payload, options: PublishOptions): Message {
    this.#checkOpen();
    const { delay, ordering, dedup } = this.capabilities;
    if (options.id !== undefined && !dedup) throw unsupported("id", "dedup");
    if (options.orderingKey !== undefined && !ordering) throw unsupported("orderingKey", "ordering");
    if (!delay) {
      if (options.delayMs !== undefined) throw unsupported("delayMs", "delay");
      if (options.deliverAt !== undefined) throw unsupported("deliverAt", "delay");
    }
    const message = createMessage(key, payload, options);
    return isDurable(this.backend) ? message : { ...message, payload } as Message;
  }

  #limits(options: Pick<PublishOptions, "signal" | "publishTimeoutMs">): {
    signal: AbortSignal | undefined;
    timeoutMs: number;
  } {
    const { signal, publishTimeoutMs: timeoutMs = defaultPublishTimeoutMs } = options;
    this.#checkOpen();
    signal?.throwIfAborted();
    checkDuration("publishTimeoutMs", timeoutMs, 1);
    return { signal, timeoutMs };
  }

  #intakeOptions(options: ReceiveOptions) {
    this.#checkOpen();
    const { group, keys, leaseMs, signal } = options;
    const { groups, keys: filters, leases } = this.capabilities;
    if (group !== undefined) checkName("group", group);
    if (keys !== undefined) checkFilter(keys);
    if (group !== undefined && !groups) throw unsupported("group", "groups");
    if (keys !== undefined && !filters) throw unsupported("keys", "keys");
    if (leaseMs !== undefined && !leases) throw unsupported("leaseMs", "leases");
    const prefetch = checkInteger("prefetch", options.prefetch ?? defaultPrefetch, 1);
    return {
      group: group ?? defaultGroup,
      ...(keys !== undefined && { keys }),
      leaseMs: checkDuration("leaseMs", leaseMs ?? defaultLeaseMs, 100, maxTimerMs),
      prefetch: isDurable(this.backend) ? prefetch : 1,
      signal,
    };
  }

  #intake(options: ConstructorParameters<typeof Intake>[1]): Intake {
    this.#checkOpen();
    const intake = new Intake(this.#source, options);
    this.#intakes.add(intake);
    return intake;
  }

  #buryPlain(): BuryPlain {
    const queue = this.#options.deadLetters;
    if (queue === undefined) return undefined;
    return async ({ group, payload, headers, reason, error, attempts }) => {
      await queue.publish(`dead.${group}`, payload, {
        headers: {
          ...headers,
          "abe-mq-group": group,
          "abe-mq-reason": reason,
          "abe-mq-attempts": String(attempts),
          ...(error !== undefined && { "abe-mq-error": error }),
        },
      });
    };
  }

  #checkOpen(): void {
    if (this.#state === "closed") throw new MessageQueueError("closed", "The queue is closed");
  }

  #report(who: unknown, error?: unknown): void {
    if (error === undefined) this.#troubles.delete(who);
    else this.#troubles.add(who);
    if (error !== undefined) this.#logger.warn(`The broker is away, trying again: ${describeError(error)}`);
    if (this.#state === "closed") return;
    this.#setState(this.#troubles.size === 0 ? "open" : "reconnecting", error);
  }

  #setState(state: QueueState, error?: unknown): void {
    if (state === this.#state) return;
    this.#state = state;
    try {
      this.#options.onStateChange?.({ state, ...(error !== undefined && { error }) });
    } catch (hookError) {
      this.#logger.error(`The onStateChange hook failed: ${describeError(hookError)}`);
    }
  }
}

function isDurable(backend: MessageQueueBackend): backend is DurableBackend {
  return backend.receive !== undefined && backend.publishMany !== undefined;
}

function unsupported(option: string, capability: string): MessageQueueError {
  return new MessageQueueError(
    "unsupported",
    `Cannot use ${option}: this backend does not declare the capability \`${capability}\``,
  );
}

async function sendPlain(
  backend: MessageQueueBackend,
  messages: readonly (Message & { readonly payload?: Payload })[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const failures: PublishFailure[] = [];
  for (const [index, message] of messages.entries()) {
    try {
      await backend.publish(message.key, wrapPlain(message.payload ?? {}, message.headers), signal && { signal });
    } catch (error) {
      if (messages.length === 1) throw error;
      failures.push({ index, error });
    }
  }
  if (failures.length > 0) throw new PublishManyError(messages.length, failures);
}
