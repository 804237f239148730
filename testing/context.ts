/**
 * What a case is given: two queues over one store, more when it asks, and helpers that wait with a deadline.
 *
 * @module
 */

import {
  type BackendReceiveOptions,
  type Capabilities,
  type Delivery,
  type DurableBackend,
  type Logger,
  type Message,
  MessageQueue,
  type MessageQueueBackend,
  type MessageQueueOptions,
  type Receiver,
} from "../mod.ts";
import type { Harness, StoreSettings } from "./harness.ts";
import { pause, until, within } from "./wait.ts";
import type { KitPayload, WorkerTask } from "./worker.ts";
import { startWorker, type Worker } from "./workers.ts";

/** Which consumer a helper opens. */
export interface TakeOptions {
  /** The group. */
  readonly group?: string;
  /** The filter. */
  readonly keys?: string;
  /** How much it may hold at once. */
  readonly prefetch?: number;
  /** The lease, in milliseconds. */
  readonly leaseMs?: number;
}

/** How a case opens a further queue. */
export interface OpenOptions extends MessageQueueOptions {
  /** Another exchange than the case's own. */
  readonly exchange?: string;
  /** Bounds of the store, which is another than the case's own; needs `openBounded`. */
  readonly settings?: StoreSettings;
  /** Puts something between the queue and the backend. */
  readonly wrap?: (backend: MessageQueueBackend) => MessageQueueBackend;
}

/** What a case is given. */
export class CaseContext {
  /** What the kit was told about the backend. */
  readonly harness: Harness;
  /** The case's own exchange. */
  readonly exchange: string;
  /** What the backend declares. */
  readonly capabilities: Capabilities;
  /** The lease, in milliseconds, where a case waits for one to end. */
  readonly leaseMs: number;
  /** How long any one wait may take, in milliseconds. */
  readonly deadlineMs: number;
  /** What the queues logged: level and text. */
  readonly logged: string[] = [];
  #a: MessageQueue | undefined;
  #b: MessageQueue | undefined;
  readonly #ends: (() => PromiseLike<void>)[] = [];

  /**
   * Opens nothing yet.
   *
   * @param harness What the kit was told.
   * @param exchange The case's own exchange.
   */
  constructor(harness: Harness, exchange: string) {
    this.harness = harness;
    this.exchange = exchange;
    this.capabilities = harness.capabilities;
    this.leaseMs = harness.leaseMs ?? 2_000;
    this.deadlineMs = harness.deadlineMs ?? 30_000;
  }

  /** Opens the two queues. */
  async start(): Promise<void> {
    this.#a = await this.open();
    this.#b = await this.open();
  }

  /** A queue. */
  get a(): MessageQueue {
    return opened(this.#a);
  }

  /** Another, over another instance of the backend and the same store. */
  get b(): MessageQueue {
    return opened(this.#b);
  }

  /** A count of messages, by the harness's scale. */
  scaled(count: number): number {
    return Math.max(1, Math.round(count * (this.harness.scale ?? 1)));
  }

  /** Opens a further queue, which is closed when the case ends. */
  async open({ exchange, settings, wrap, ...options }: OpenOptions = {}): Promise<MessageQueue> {
    const backend = settings === undefined
      ? await this.harness.open(exchange ?? this.exchange)
      : await this.#bounded(settings);
    const queue = new MessageQueue(wrap === undefined ? backend : wrap(backend), {
      logger: this.#logger(),
      ...options,
    });
    this.#ends.push(() => queue.close());
    return queue;
  }

  /** Opens an instance of the backend itself, whatever it can do, which is disposed when the case ends. */
  async openAny(): Promise<MessageQueueBackend> {
    const backend = await this.harness.open(this.exchange);
    this.#ends.push(() => backend[Symbol.asyncDispose]?.() ?? Promise.resolve());
    return backend;
  }

  /** Opens an instance of the backend itself, whose messages can be settled one by one. */
  async openBackend(): Promise<DurableBackend> {
    const backend = await this.openAny();
    const { receive, publishMany } = backend;
    if (receive === undefined || publishMany === undefined) throw new TypeError("The backend has no receive");
    return backend as DurableBackend;
  }

  /** Opens a place in a group below the queue, which is closed when the case ends. */
  async receiver(options: Partial<BackendReceiveOptions> = {}, backend?: DurableBackend): Promise<Receiver> {
    const from = backend ?? await this.openBackend();
    const receiver = await from.receive({ group: "default", leaseMs: 60_000, ...options });
    this.#ends.push(() => receiver.close());
    return receiver;
  }

  /** Starts a consumer that can be killed; it is, at the latest, when the case ends. */
  async worker(task: Partial<WorkerTask> & Pick<WorkerTask, "verb">): Promise<Worker> {
    const whole: WorkerTask = { group: "default", leaseMs: this.leaseMs, prefetch: 1, ...task };
    const worker = await startWorker(this.harness, this.exchange, whole, (free) => this.#ends.push(free));
    this.#ends.push(() => worker.kill());
    return worker;
  }

  /** Kills the broker and starts it again. */
  async restart(): Promise<void> {
    if (this.harness.restart === undefined) throw new TypeError("The harness cannot restart the broker");
    await this.harness.restart();
  }

  /** Waits until a condition holds. */
  until(condition: () => boolean | Promise<boolean>, what: string | (() => string)): Promise<void> {
    return until(condition, what, this.deadlineMs);
  }

  /** Waits for a promise, but not for ever. */
  within<T>(promise: PromiseLike<T>, what: string): Promise<T> {
    return within(promise, what, this.deadlineMs);
  }

  /** Lets time pass: for what must not happen in the meantime. */
  pass(ms: number): Promise<void> {
    return pause(ms);
  }

  /** Frees something when the case ends. */
  defer(free: () => PromiseLike<void>): void {
    this.#ends.push(free);
  }

  /** The next of a consumer, which must have one. */
  async next<T>(consumer: AsyncIterator<T>, what: string): Promise<T> {
    const result = await this.within(consumer.next(), what);
    if (result.done) throw new Error(`The consumer ended, in place of ${what}`);
    return result.value;
  }

  /** Ends a consumer by `return()`. */
  async leave(consumer: AsyncIterator<unknown>): Promise<void> {
    if (consumer.return !== undefined) await this.within(consumer.return(), "the end of a consumer by return()");
  }

  /** Publishes payloads `{ n }` from `from` on, one after the other. */
  async publish(queue: MessageQueue, count: number, { key = "kit.message", from = 0 } = {}): Promise<string[]> {
    const ids: string[] = [];
    for (let n = from; n < from + count; n++) ids.push(await queue.publish(key, { n } satisfies KitPayload));
    return ids;
  }

  /** Publishes payloads `{ n }` all at once. */
  publishAtOnce(queue: MessageQueue, count: number, { key = "kit.message", from = 0 } = {}): Promise<string[]> {
    return Promise.all(Array.from({ length: count }, (_, n) => queue.publish(key, { n: from + n })));
  }

  /**
   * Makes groups before anything is published: what a group made later finds beyond the unacked is not promised.
   */
  async makeGroups(groups: Readonly<Record<string, string | undefined>>): Promise<void> {
    for (const [group, keys] of Object.entries(groups)) {
      const filter = keys === undefined ? {} : { keys };
      if (this.a.backend.groups !== undefined) await this.a.groups.create(group, filter);
      // A backend of three methods makes a group for its first consumer, and a message tells that it is there.
      else await this.rest(this.a, { group, ...filter });
    }
  }

  /** Takes payloads' numbers by `consume` and acks each, then leaves. */
  async take(queue: MessageQueue, count: number, options: TakeOptions = {}): Promise<number[]> {
    const leave = new AbortController();
    const numbers: number[] = [];
    const taking = (async () => {
      for await (const { n, marker } of queue.consume<KitPayload>({ ...options, signal: leave.signal })) {
        if (marker !== undefined) continue;
        // A body that is in hand when the signal comes finishes and is acked, so the count is exact.
        if (numbers.push(n) === count) leave.abort();
      }
    })();
    try {
      await this.within(taking, `${count} messages by consume`);
    } catch (error) {
      throw withCount(error, numbers.length);
    } finally {
      leave.abort();
    }
    return numbers;
  }

  /** Takes deliveries by `receive`, lets each be settled (acked, unless told otherwise), then leaves. */
  async receive(
    queue: MessageQueue,
    count: number,
    options: TakeOptions = {},
    settle: (delivery: Delivery<KitPayload>) => unknown = (delivery) => delivery.ack(),
  ): Promise<Delivery<KitPayload>[]> {
    const leave = new AbortController();
    const deliveries: Delivery<KitPayload>[] = [];
    const taking = (async () => {
      for await (const delivery of queue.receive<KitPayload>({ ...options, signal: leave.signal })) {
        if (delivery.payload.marker !== undefined) {
          await delivery.ack();
          continue;
        }
        deliveries.push(delivery);
        await settle(delivery);
        if (deliveries.length === count) leave.abort();
      }
    })();
    try {
      await this.within(taking, `${count} deliveries by receive`);
    } catch (error) {
      throw withCount(error, deliveries.length);
    } finally {
      leave.abort();
    }
    return deliveries;
  }

  /**
   * Takes everything that is left for a group and acks it. Markers are published behind it, so that nobody has to wait and hope.
   */
  async rest(queue: MessageQueue, options: TakeOptions & { readonly key?: string } = {}): Promise<number[]> {
    const { key = "kit.message", ...taken } = options;
    const numbers: number[] = [];
    // What was given back may be read from another place than what is fresh and so come behind the first marker; the second is a
    // whole round trip later.
    for (let round = 0; round < 2; round++) {
      const mine = crypto.randomUUID();
      await queue.publish(key, { n: -1, marker: mine } satisfies KitPayload);
      const leave = new AbortController();
      const taking = (async () => {
        for await (const { n, marker } of queue.consume<KitPayload>({ prefetch: 1, ...taken, signal: leave.signal })) {
          if (marker === undefined) numbers.push(n);
          else if (marker === mine) leave.abort();
        }
      })();
      try {
        await this.within(taking, "the marker behind all other messages");
      } finally {
        leave.abort();
      }
    }
    return numbers;
  }

  /** Closes all that was opened, the last first. */
  async end(): Promise<void> {
    const errors: unknown[] = [];
    for (const end of this.#ends.reverse()) {
      await within(end(), "closing what the case opened", this.deadlineMs).catch((error) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
  }

  async #bounded(settings: StoreSettings): Promise<MessageQueueBackend> {
    if (this.harness.openBounded === undefined) throw new TypeError("The harness cannot bound the store");
    // Apart from the unbounded instances of the case: bounds are the exchange's, not the instance's.
    return await this.harness.openBounded(`${this.exchange}-bounded`, settings);
  }

  #logger(): Logger {
    const line = (level: string) => (message: string) => void this.logged.push(`${level}: ${message}`);
    return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
  }
}

/**
 * A message as a backend gets it, for cases that go below the queue.
 *
 * @param n The payload's number.
 * @param changes What is to be different.
 * @returns The message.
 */
export function message(n: number, changes: Partial<Message> = {}): Message {
  return {
    id: crypto.randomUUID(),
    key: "kit.message",
    body: JSON.stringify({ n } satisfies KitPayload),
    headers: {},
    publishedAt: Date.now(),
    deduplicate: false,
    ...changes,
  };
}

function opened(queue: MessageQueue | undefined): MessageQueue {
  if (queue === undefined) throw new TypeError("The case has not started");
  return queue;
}

function withCount(error: unknown, count: number): unknown {
  if (error instanceof Error) error.message += `; ${count} came`;
  return error;
}
