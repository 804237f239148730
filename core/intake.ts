/**
 * The one place where messages come in: pulling, holding, lease renewal, settlement and reconnection, for `consume`, `receive` and
 * `subscribe` alike.
 *
 * @module
 */

import type { Claim, ReceiveOptions, Receiver, Settlement } from "./backend.ts";
import { HeldDelivery, type Holder, settledReason } from "./delivery.ts";
import { describeError, isRetryable, MessageQueueError } from "./errors.ts";
import { Handover, type HandoverOptions, type HandoverSource } from "./handover.ts";
import { LinkedList } from "./linked.ts";
import type { Passage } from "./passage.ts";
import { Settler } from "./settler.ts";
import { onAbort, pause, settledWithin } from "./signals.ts";

/** What an intake takes in. */
export interface IntakeOptions extends ReceiveOptions, HandoverOptions {
  /** At most so many unsettled deliveries at once, those that wait in the buffer included. */
  readonly prefetch: number;
  /** Whether leases of deliveries that were handed over are renewed, too; else their holder extends them. */
  readonly renewHanded: boolean;
  /** Ends the intake. */
  readonly signal?: AbortSignal | undefined;
}

/** Where an intake gets what it needs. */
export interface Source extends HandoverSource {
  /** Opens a receiver. */
  open(options: IntakeOptions): Promise<Receiver>;
  /** Whether claims have leases, which must then be renewed. */
  readonly leases: boolean;
  /** Whether the backend can hold a nacked message back. */
  readonly canDelay: boolean;
  /** Told when the broker is away, with the error, and when it is back, without. */
  report(intake: Intake, error?: unknown): void;
  /** Told once, when the receiver is closed. */
  ended(intake: Intake): void;
}

interface Waiter {
  resolve(delivery: HeldDelivery | undefined): void;
  reject(error: unknown): void;
}

// A close waits so long for a broker that may be away; what was not settled by then comes again after its lease.
const closePatienceMs = 5_000;

/** Takes messages in for one consumer. */
export class Intake implements Holder {
  readonly group: string;
  readonly canDelay: boolean;
  readonly #source: Source;
  readonly #options: IntakeOptions;
  readonly #abort = new AbortController();
  readonly #settler: Settler<HeldDelivery>;
  readonly #held = new LinkedList<HeldDelivery>();
  readonly #waiters: Waiter[] = [];
  /** Pulled and not handed over, last one first, so that taking the first is a pop. */
  #buffer: HeldDelivery[] = [];
  readonly #handover: Handover;
  #receiver: Receiver | undefined;
  #opening: Promise<Receiver> | undefined;
  #pulling: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;
  #failure: { readonly error: unknown } | undefined;
  #troubled = false;
  #renewTimer: ReturnType<typeof setTimeout> | undefined;
  #forgetSignal: () => void = () => {};

  constructor(source: Source, options: IntakeOptions) {
    this.group = options.group;
    this.canDelay = source.canDelay;
    this.#source = source;
    this.#options = options;
    this.#handover = new Handover(this, source, options);
    this.#settler = new Settler<HeldDelivery>(
      () => this.#openReceiver(),
      source.backoff,
      options.leaseMs,
      (delivery, settlement, held, error) => this.#ended(delivery, settlement, held, error),
    );
    this.#forgetSignal = onAbort(options.signal, () => this.stop());
  }

  /** Whether it takes nothing more in. */
  get stopped(): boolean {
    return this.#abort.signal.aborted;
  }

  /**
   * Joins the group; waits while the broker is away.
   *
   * @throws What the backend refuses with.
   */
  async open(): Promise<void> {
    await this.#open();
  }

  /** The next delivery if one is at hand, and needs no wait before it is handed over. */
  take(): HeldDelivery | undefined {
    return this.#handover.take(this.#buffer);
  }

  /** The next delivery; `undefined` when the intake was stopped. */
  next(): Promise<HeldDelivery | undefined> {
    const delivery = this.take();
    if (delivery !== undefined) return Promise.resolve(delivery);
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.stopped) return Promise.resolve(undefined);
    const waiting = this.#buffer.pop();
    if (waiting !== undefined) return this.#handover.pass(waiting).then((passed) => passed ? waiting : this.next());
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#pump();
    });
  }

  /** The way of a delivery that `take` or `next` gave to `subscribe` unopened. */
  passage(delivery: HeldDelivery): Passage {
    return this.#handover.passage(delivery);
  }

  /** Takes nothing more in; what was not handed over goes back. Deliveries that were can still be settled. */
  stop(): void {
    if (this.stopped) return;
    this.#forgetSignal();
    this.#abort.abort();
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(undefined);
    for (const delivery of this.#buffer.splice(0).reverse()) this.settleQuietly(delivery, release(delivery));
  }

  /** Stops, and leaves the group once the last delivery is settled; does not wait for those still in hand. */
  async leave(): Promise<void> {
    this.stop();
    await this.#pulling;
    await this.#settler.idle();
    if (this.#held.size === 0) await this.close();
  }

  /** Stops, gives back what is still in hand, and leaves the group. Never hangs. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.stop();
    const closed = new MessageQueueError("closed", "The consumer was closed");
    for (const delivery of this.#held.items()) {
      delivery.end(closed);
      this.settleQuietly(delivery, release(delivery));
    }
    const under = Promise.all([this.#pulling, this.#opening]);
    if (!(await settledWithin(under, closePatienceMs))) {
      this.#source.logger.warn(`The consumer of group "${this.group}" does not end: the backend ignores its signal`);
    }
    if (!(await settledWithin(this.#settler.finish(), closePatienceMs))) {
      this.#source.logger.warn(`The last messages of group "${this.group}" could not be settled; they come again`);
    }
    clearTimeout(this.#renewTimer);
    try {
      await this.#receiver?.close();
    } catch (error) {
      this.#source.logger.warn(`A consumer of group "${this.group}" could not leave: ${describeError(error)}`);
    }
    this.#closed = true;
    this.#source.logger.debug(`Left group "${this.group}"`);
    this.#source.ended(this);
  }

  settle(delivery: HeldDelivery, settlement: Settlement): Promise<void> {
    return new Promise((resolve, reject) => {
      delivery.waiter = { resolve, reject };
      this.#settle(delivery, settlement);
    });
  }

  /** Settles without anybody waiting for the outcome; a refusal is logged. */
  settleQuietly(delivery: HeldDelivery, settlement: Settlement): void {
    delivery.markSettled();
    this.#settle(delivery, settlement);
  }

  async extend(delivery: HeldDelivery, ms: number): Promise<void> {
    if (!this.#source.leases) {
      throw new MessageQueueError("unsupported", "Cannot extend: this backend has no leases");
    }
    const from = Date.now();
    const [held] = delivery.lost || this.#closed ? [] : await this.#openReceiver().extend([delivery.claim], ms);
    if (!held) {
      this.#lose(delivery);
      throw leaseLost("Cannot extend");
    }
    delivery.leaseEndsAt = from + ms;
  }

  #settle(delivery: HeldDelivery, settlement: Settlement): void {
    this.#held.remove(delivery);
    if (this.#closed) {
      const closed = new MessageQueueError("closed", `Cannot ${settlement.verb}: the consumer was closed`);
      return this.#tell(delivery, settlement, false, delivery.lost ? undefined : closed);
    }
    this.#settler.add(delivery, settlement);
    this.#pump();
  }

  #ended(delivery: HeldDelivery, settlement: Settlement, held: boolean, error: unknown): void {
    delivery.end(held ? settledReason : error ?? leaseLost("Settled too late"), settlement);
    this.#tell(delivery, settlement, held, error);
    if (this.stopped && this.#held.size === 0) this.#closeLater();
  }

  #tell(delivery: HeldDelivery, { verb }: Settlement, held: boolean, error: unknown): void {
    const { waiter } = delivery;
    if (waiter !== undefined) {
      if (held) waiter.resolve();
      else waiter.reject(error ?? leaseLost(`Cannot ${verb}`));
    } else if (error instanceof MessageQueueError && error.code === "exhausted") {
      // There is no place for what can never be handled; giving it out again and again would be no better.
      this.#fail(error);
    } else if (!held) {
      const why = error === undefined ? "its lease was lost" : describeError(error);
      this.#source.logger.warn(`Message ${delivery.id} of group "${this.group}" comes again: ${verb}: ${why}`);
    }
  }

  // Nobody waits for it here: `close` never rejects.
  #closeLater(): void {
    if (this.#closing === undefined) void this.close();
  }

  #room(): number {
    return this.#waiters.length > 0 && !this.stopped ? this.#options.prefetch - this.#held.size : 0;
  }

  #pump(): void {
    if (this.#pulling === undefined && this.#room() > 0) this.#pulling = this.#pull();
  }

  // Pulls only when the buffer is empty and somebody waits, so a message that was delivered before is never prefetched.
  async #pull(): Promise<void> {
    let failures = 0;
    for (let max = this.#room(); max > 0; max = this.#room()) {
      try {
        const receiver = await this.#open();
        if (this.stopped) break;
        const claims = await receiver.pull({ max, signal: this.#abort.signal });
        failures = 0;
        this.#report();
        this.#accept(claims);
        // A backend that gives nothing breaks its contract; it must not keep the event loop from everything else.
        if (claims.length === 0) await pause(1, this.#abort.signal);
      } catch (error) {
        if (this.stopped) {
          this.#source.logger.debug(`The last pull of group "${this.group}" failed: ${describeError(error)}`);
          break;
        }
        if (!isRetryable(error)) {
          this.#fail(error);
          break;
        }
        this.#report(error);
        await pause(this.#source.backoff(++failures), this.#abort.signal);
      }
    }
    this.#pulling = undefined;
  }

  #accept(claims: readonly Claim[]): void {
    const leaseEndsAt = Date.now() + this.#options.leaseMs;
    const buffer: HeldDelivery[] = [];
    for (let i = claims.length - 1; i >= 0; i--) {
      const claim = claims[i];
      if (claim !== undefined) buffer.push(new HeldDelivery(claim, this, leaseEndsAt));
    }
    for (let i = buffer.length - 1; i >= 0; i--) {
      const delivery = buffer[i];
      if (delivery !== undefined) this.#held.add(delivery);
    }
    if (this.stopped) {
      for (const delivery of buffer.reverse()) this.settleQuietly(delivery, release(delivery));
      return;
    }
    this.#buffer = buffer;
    while (this.#waiters.length > 0) {
      const delivery = this.take();
      if (delivery !== undefined) this.#waiters.shift()?.resolve(delivery);
      else if (this.#buffer.length === 0) break;
      else {
        const waiter = this.#waiters.shift();
        if (waiter !== undefined) this.next().then(waiter.resolve, waiter.reject);
      }
    }
    this.#armRenewal();
  }

  #openReceiver(): Receiver {
    if (this.#receiver === undefined) throw new MessageQueueError("closed", "The consumer was never opened");
    return this.#receiver;
  }

  #open(): Promise<Receiver> {
    this.#opening ??= this.#connect();
    return this.#opening;
  }

  async #connect(): Promise<Receiver> {
    for (let attempt = 1;; attempt++) {
      try {
        const receiver = await this.#source.open(this.#options);
        this.#receiver = receiver;
        this.#source.logger.debug(`Joined group "${this.group}"`);
        this.#report();
        return receiver;
      } catch (error) {
        if (!isRetryable(error) || this.stopped) throw error;
        this.#report(error);
        await pause(this.#source.backoff(attempt), this.#abort.signal);
        if (this.stopped) throw error;
      }
    }
  }

  #report(error?: unknown): void {
    if (error === undefined && !this.#troubled) return;
    this.#troubled = error !== undefined;
    this.#source.report(this, error);
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    const waiters = this.#waiters.splice(0);
    this.stop();
    for (const waiter of waiters) waiter.reject(error);
  }

  #lose(delivery: HeldDelivery): void {
    delivery.lost = true;
    this.#held.remove(delivery);
    delivery.end(leaseLost("The message went to another consumer"));
    this.#pump();
  }

  // One timer for all that is held, at a third of the lease, so that one late tick does not lose anything.
  #armRenewal(): void {
    if (!this.#source.leases || this.#renewTimer !== undefined || this.#held.size === 0) return;
    this.#renewTimer = setTimeout(() => {
      this.#renewTimer = undefined;
      void this.#renew();
    }, this.#options.leaseMs / 3);
  }

  async #renew(): Promise<void> {
    const { leaseMs, renewHanded } = this.#options;
    const now = Date.now();
    const waiting = new Set([...this.#buffer, ...this.#handover.passing]);
    const renewed: HeldDelivery[] = [];
    for (const delivery of this.#held.items()) {
      if (renewHanded || waiting.has(delivery)) renewed.push(delivery);
      // Its lease ran out without an answer; whoever works on it should stop. An ack is still tried: the broker knows best.
      else if (delivery.leaseEndsAt <= now) this.#lose(delivery);
    }
    if (renewed.length > 0) {
      try {
        const held = await this.#openReceiver().extend(renewed.map((delivery) => delivery.claim), leaseMs);
        renewed.forEach((delivery, i) => {
          if (held[i]) delivery.leaseEndsAt = now + leaseMs;
          // Settled while the answer was on its way: not held any more, and rightly so.
          else if (delivery.isLinked) this.#lose(delivery);
        });
      } catch (error) {
        this.#source.logger.debug(`Leases of group "${this.group}" were not renewed: ${describeError(error)}`);
        for (const delivery of renewed) if (delivery.leaseEndsAt <= Date.now()) this.#lose(delivery);
      }
    }
    if (!this.#closed) this.#armRenewal();
  }
}

function release(delivery: HeldDelivery): Settlement {
  return { claim: delivery.claim, verb: "release" };
}

function leaseLost(what: string): MessageQueueError {
  return new MessageQueueError(
    "lease_lost",
    `${what}: its lease is lost. Give a longer leaseMs, or extend it, when handling takes this long`,
  );
}
