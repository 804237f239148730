/**
 * The iterators that an application loops over.
 *
 * They are written by hand because a generator cannot be stopped while it waits: its `return()` queues behind a pending
 * `next()`.
 *
 * @module
 */

import { reconnectBackoff } from "./backoff.ts";
import { type ConsumeOptions, defaultGroup, defaultLeaseMs, type DurableBackend } from "./backend.ts";
import type { Payload } from "./codec.ts";
import { Codecs } from "./codecs.ts";
import type { HeldDelivery } from "./delivery.ts";
import { Intake, type Source } from "./intake.ts";
import { consoleLogger } from "./logger.ts";
import { Middlewares } from "./middleware.ts";

/** So many messages are fetched ahead unless an option says otherwise: enough that a round trip for each batch does not show. */
export const defaultPrefetch = 100;

const done = { done: true, value: undefined } as const;

/** What both iterators share: opening at the first `next()`, one `next()` after the other, and the end. */
abstract class IntakeIterator<T> implements AsyncIterableIterator<T, undefined> {
  readonly #open: () => Intake;
  #intake: Intake | undefined;
  #ended = false;
  /** The last `next()` that had to wait: further ones queue behind it, so that each acts on what the one before it gave. */
  #pending: Promise<unknown> | undefined;

  /** @param open Makes the intake; called at the first `next()`. */
  constructor(open: () => Intake) {
    this.#open = open;
  }

  /** Called when the next one is asked for. */
  protected abstract advance(intake: Intake): void;
  /** Called when the iteration is given up. */
  protected abstract abandon(intake: Intake): void;
  /** Makes a value of a delivery. */
  protected abstract value(delivery: HeldDelivery): T;
  /** Leaves when the iteration has ended. */
  protected abstract leave(intake: Intake): Promise<void>;

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#pending !== undefined) return this.#wait(this.#pending.then(() => this.#next(), () => this.#next()));
    return this.#next();
  }

  #next(): Promise<IteratorResult<T, undefined>> {
    if (this.#ended) return Promise.resolve(done);
    const intake = this.#intake ??= this.#open();
    this.advance(intake);
    const delivery = intake.take();
    if (delivery !== undefined) return Promise.resolve({ done: false, value: this.value(delivery) });
    return this.#wait(this.#fetch(intake));
  }

  #wait(result: Promise<IteratorResult<T, undefined>>): Promise<IteratorResult<T, undefined>> {
    this.#pending = result;
    const clear = () => {
      if (this.#pending === result) this.#pending = undefined;
    };
    result.then(clear, clear);
    return result;
  }

  async #fetch(intake: Intake): Promise<IteratorResult<T, undefined>> {
    try {
      const delivery = await intake.next();
      if (delivery !== undefined) return { done: false, value: this.value(delivery) };
    } catch (error) {
      this.#ended = true;
      await intake.close();
      throw error;
    }
    this.#ended = true;
    await this.leave(intake);
    return done;
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    const intake = this.#intake;
    const first = !this.#ended;
    this.#ended = true;
    if (intake !== undefined && first) {
      // Before anything is awaited: a pending `next()` ends with it.
      intake.stop();
      this.abandon(intake);
      await this.leave(intake);
    }
    return done;
  }

  async throw(error?: unknown): Promise<IteratorResult<T, undefined>> {
    await this.return();
    throw error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Yields payloads; asking for the next acks the last, and giving up releases it. */
export class PayloadIterator extends IntakeIterator<Payload> {
  #current: HeldDelivery | undefined;

  protected advance(intake: Intake): void {
    const delivery = this.#current;
    this.#current = undefined;
    if (delivery !== undefined) intake.settleQuietly(delivery, { claim: delivery.claim, verb: "ack" });
  }

  protected abandon(intake: Intake): void {
    const delivery = this.#current;
    this.#current = undefined;
    if (delivery !== undefined) intake.settleQuietly(delivery, { claim: delivery.claim, verb: "nack", delayMs: 0 });
  }

  protected value(delivery: HeldDelivery): Payload {
    this.#current = delivery;
    return delivery.payload;
  }

  protected leave(intake: Intake): Promise<void> {
    return intake.close();
  }
}

/** Yields deliveries, which whoever takes them settles. */
export class DeliveryIterator extends IntakeIterator<HeldDelivery> {
  protected advance(_intake: Intake): void {}

  protected abandon(_intake: Intake): void {}

  protected value(delivery: HeldDelivery): HeldDelivery {
    return delivery;
  }

  protected leave(intake: Intake): Promise<void> {
    return intake.leave();
  }
}

/**
 * The `consume` of a backend that has `receive`: one line in its class.
 *
 * @param backend The backend.
 * @param options Group, filter and signal.
 * @returns Payloads; asking for the next acks the last, and ending the iteration releases it.
 */
export function consumePayloads(backend: DurableBackend, options: ConsumeOptions = {}): AsyncIterable<Payload> {
  const source: Source = {
    open: (receive) => backend.receive(receive),
    leases: backend.capabilities?.leases === true,
    canDelay: backend.capabilities?.delay === true,
    codecs: new Codecs(),
    middlewares: new Middlewares(),
    backoff: reconnectBackoff,
    logger: consoleLogger(false),
    report: () => {},
    ended: () => {},
  };
  return new PayloadIterator(() =>
    new Intake(source, {
      group: options.group ?? defaultGroup,
      ...(options.keys !== undefined && { keys: options.keys }),
      leaseMs: defaultLeaseMs,
      prefetch: defaultPrefetch,
      renewHanded: true,
      via: "consume",
      signal: options.signal,
    })
  );
}
