/**
 * What an application works with: any backend, with everything that backends do not have to bring.
 *
 * @module
 */

import { reconnectBackoff } from "./backoff.ts";
import type { Capabilities, MessageQueueBackend, QueueStats } from "./backend.ts";
import { checkPublish, checkReceive, checkSubscribe, isDurable, unsupported } from "./capability.ts";
import { checkDuration } from "./check.ts";
import type { Payload } from "./codec.ts";
import { Codecs } from "./codecs.ts";
import { DeliveryIterator, PayloadIterator } from "./consumer.ts";
import { DeadLetters, Groups } from "./administration.ts";
import type { Delivery } from "./delivery.ts";
import { MessageQueueError } from "./errors.ts";
import { Intake, type Source } from "./intake.ts";
import { consoleLogger, type Logger } from "./logger.ts";
import { createMessage, type Message, type PublishOptions } from "./message.ts";
import type { MessageQueueOptions, OutgoingMessage, QueueState, ReceiveOptions, SubscribeOptions } from "./options.ts";
import { type Middleware, Middlewares } from "./middleware.ts";
import { allForText, Outbox, type OutgoingPlain } from "./outbox.ts";
import type { Check } from "./passage.ts";
import { openPlain, sendPlain } from "./plain.ts";
import { Publisher, type PublishLimits, type Send } from "./publisher.ts";
import { type Handler, retryWithBackoff, Runner, type Subscription } from "./runner.ts";
import { abortable } from "./signals.ts";
import { StateKeeper } from "./state.ts";
import { TopicQueue } from "./topic_queue.ts";
import type { TopicDefinitions, Topics } from "./topics.ts";

const defaultPublishTimeoutMs = 30_000;
// What most publishes are called with.
const noOptions: PublishOptions = Object.freeze({});
const noLimits: PublishLimits = Object.freeze({ signal: undefined, timeoutMs: defaultPublishTimeoutMs });

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
  readonly #codecs: Codecs;
  readonly #middlewares = new Middlewares();
  /** Made when there is more to do to a message than to send it. */
  #outbox: Outbox | undefined;
  readonly #logger: Logger;
  readonly #source: Source;
  readonly #publisher: Publisher;
  readonly #intakes = new Set<Intake>();
  readonly #runners = new Set<Runner>();
  readonly #state: StateKeeper;
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
    this.#codecs = new Codecs(options);
    this.#logger = options.logger ?? consoleLogger(false);
    this.#state = new StateKeeper(this.#logger, options.onStateChange);
    const backoff = options.reconnect ?? reconnectBackoff;
    this.groups = new Groups(backend, () => this.#checkOpen());
    this.deadLetters = new DeadLetters(backend, this.#codecs, () => this.#checkOpen());
    const send: Send = isDurable(backend)
      ? (messages, signal) => backend.publishMany(messages, signal && { signal })
      : (messages, signal) => sendPlain(backend, messages, signal);
    this.#publisher = new Publisher({
      send: this.capabilities.codecs === true ? send : (messages, signal) => send(allForText(messages), signal),
      backoff,
      report: (error) => this.#state.report(this.#publisher, error),
    });
    if (options.compressAboveBytes !== undefined) this.#outbox = this.#makeOutbox();
    this.#source = {
      open: isDurable(backend)
        ? (receive) => backend.receive(receive)
        : (receive) => Promise.resolve(openPlain(backend, receive, options.deadLetters)),
      leases: this.capabilities.leases === true,
      canDelay: this.capabilities.delay === true || !isDurable(backend),
      codecs: this.#codecs,
      middlewares: this.#middlewares,
      backoff,
      logger: this.#logger,
      report: (intake, error) => this.#state.report(intake, error),
      ended: (intake) => {
        this.#intakes.delete(intake);
        this.#state.report(intake);
      },
    };
  }

  /** How the queue stands with its broker. */
  get state(): QueueState {
    return this.#state.state;
  }

  /**
   * Puts a function around publishing and handling, for what is published and handed over from now on.
   *
   * @param middleware The function. The first one added is next to the application, the last one next to the broker.
   * @returns This queue.
   * @throws {TypeError} When it is no function.
   *
   * @example
   * ```ts
   * import { MessageQueue } from "@abe/mq";
   * import { MemoryBackend } from "@abe/mq/memory";
   *
   * await using mq = new MessageQueue(new MemoryBackend());
   * mq.use(async (context, next) => {
   *   const start = performance.now();
   *   await next();
   *   console.log(context.operation, context.key, performance.now() - start);
   * });
   * await mq.publish("order.created", { id: 1 });
   * ```
   */
  use(middleware: Middleware): this {
    this.#middlewares.add(middleware);
    this.#outbox ??= this.#makeOutbox();
    return this;
  }

  /**
   * The queue seen through topics: typed by key, and checked at both ends.
   *
   * @param topics What is published under which key.
   * @returns A view of this queue, which is closed with it.
   */
  with<T extends TopicDefinitions>(topics: Topics<T>): TopicQueue<T> {
    return new TopicQueue(topics, {
      keepsKeys: isDurable(this.backend),
      publish: (key, payload, options) => this.publish(key, payload, options),
      publishMany: (messages, options) => this.publishMany(messages, options),
      consume: (options, check) => this.#consume(options, check),
      receive: (options, check) => this.#receive(options, check),
      subscribe: (handler, options, check) => this.#subscribe(handler, options, check),
    });
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
  publish<T extends object>(key: string, payload: T, options: PublishOptions = noOptions): Promise<string> {
    try {
      const message = this.#message(key, payload, options);
      return this.#send([message], this.#limits(options), message.id);
    } catch (error) {
      return Promise.reject(error);
    }
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
    const limits = this.#limits(options);
    if (batch.length > 0) await this.#send(batch, limits, undefined);
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
    return this.#consume(options) as unknown as AsyncIterableIterator<T, undefined> & AsyncDisposable;
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
    return this.#receive(options) as unknown as AsyncIterableIterator<Delivery<T>, undefined> & AsyncDisposable;
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
    return await this.#subscribe(handler as unknown as Handler, options);
  }

  async #subscribe(handler: Handler, options: SubscribeOptions, check?: Check): Promise<Subscription> {
    const { concurrency, prefetch, timeoutMs, drainTimeoutMs } = checkSubscribe(this.backend, handler, options);
    const { onError, signal } = options;
    const base = this.#intakeOptions(options);
    signal?.throwIfAborted();
    // The runner ends the intake itself, so that handlers in hand are waited for.
    const { signal: _, ...rest } = base;
    const intake = this.#intake({ ...rest, prefetch, renewHanded: true, via: "subscribe", check });
    try {
      await abortable(intake.open(), signal);
    } catch (error) {
      await intake.close();
      throw error;
    }
    const runner = new Runner(intake, handler, {
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
    this.#state.close();
    await Promise.all(Array.from(this.#runners, (runner) => runner.drain()));
    await Promise.all(Array.from(this.#intakes, (intake) => intake.close()));
    await this.#outbox?.idle();
    await this.#publisher.close();
    await this.backend[Symbol.asyncDispose]?.();
  }

  #message(key: string, payload: Payload, options: PublishOptions): Message {
    this.#checkOpen();
    if (options !== noOptions) checkPublish(this.capabilities, options);
    const message = createMessage(key, payload, options, this.#codecs.encode);
    if (isDurable(this.backend)) return message;
    const plain: OutgoingPlain = { ...message, payload };
    return plain;
  }

  #send<T>(messages: readonly Message[], limits: PublishLimits, value: T): Promise<T> {
    if (this.#outbox === undefined) return this.#publisher.publish(messages, limits, value);
    return this.#outbox.publish(messages, limits).then(() => value);
  }

  #makeOutbox(): Outbox {
    return new Outbox({
      codecs: this.#codecs,
      middlewares: this.#middlewares,
      publish: (messages, limits) => this.#publisher.publish(messages, limits, undefined),
    });
  }

  #limits(options: Pick<PublishOptions, "signal" | "publishTimeoutMs">): PublishLimits {
    if (options === noOptions) return noLimits;
    const { signal, publishTimeoutMs: timeoutMs = defaultPublishTimeoutMs } = options;
    this.#checkOpen();
    signal?.throwIfAborted();
    checkDuration("publishTimeoutMs", timeoutMs, 1);
    return { signal, timeoutMs };
  }

  #consume(options: ReceiveOptions, check?: Check): PayloadIterator {
    const checked = this.#intakeOptions(options);
    return new PayloadIterator(() => this.#intake({ ...checked, renewHanded: true, via: "consume", check }));
  }

  #receive(options: ReceiveOptions, check?: Check): DeliveryIterator {
    const checked = this.#intakeOptions(options);
    return new DeliveryIterator(() => this.#intake({ ...checked, renewHanded: false, via: "receive", check }));
  }

  #intakeOptions(options: ReceiveOptions) {
    this.#checkOpen();
    return checkReceive(this.backend, options);
  }

  #intake(options: ConstructorParameters<typeof Intake>[1]): Intake {
    this.#checkOpen();
    const intake = new Intake(this.#source, options);
    this.#intakes.add(intake);
    return intake;
  }

  #checkOpen(): void {
    if (this.#state.state === "closed") throw new MessageQueueError("closed", "The queue is closed");
  }
}
