/**
 * A message in a consumer's hands, until it is settled.
 *
 * @module
 */

import type { Claim, Settlement } from "./backend.ts";
import { checkDuration } from "./check.ts";
import type { Payload } from "./codec.ts";
import { MessageQueueError } from "./errors.ts";
import type { Linked } from "./linked.ts";
import type { Headers } from "./message.ts";

/** How a delivery is given back. */
export interface NackOptions {
  /**
   * When it comes again, in milliseconds from now.
   *
   * @default {0}
   */
  readonly delayMs?: number;
  /** Why; kept for the dead letter that it may become. */
  readonly reason?: string;
}

/**
 * A message in a consumer's hands.
 *
 * The first of `ack`, `nack` and `reject` settles it; each further call gives the outcome of the first. All of them work after an abort.
 */
export interface Delivery<T extends object = Payload> {
  /** The message's id. */
  readonly id: string;
  /** The message's key; empty when the backend does not keep keys. */
  readonly key: string;
  /** What was published, as its codec brought it here. */
  readonly payload: T;
  /** Text beside the payload. */
  readonly headers: Headers;
  /** Which attempt this is: 1 on the first delivery. After a crash an upper bound. */
  readonly attempt: number;
  /** When it was published, by the publisher's clock. */
  readonly publishedAt: Date;
  /** The group it was delivered to. */
  readonly group: string;
  /** The key by which it is ordered. */
  readonly orderingKey: string | undefined;
  /** Aborted when the delivery ends: it was settled, its lease was lost (`lease_lost`), its handler ran out of time, or the queue closed. */
  readonly signal: AbortSignal;
  /**
   * Done: it leaves the group.
   *
   * @throws {MessageQueueError} `lease_lost` when it meanwhile went to another consumer; `connection` when the broker did not answer within
   *   the lease, and whether it took the ack is unknown.
   */
  ack(): Promise<void>;
  /**
   * Failed: it comes again, and the attempt counts. After the group's last attempt it becomes a dead letter.
   *
   * @param options When and why.
   * @throws {MessageQueueError} As `ack`; `unsupported` when the backend cannot delay.
   * @throws {RangeError} When `delayMs` is no number of at least 0.
   */
  nack(options?: NackOptions): Promise<void>;
  /**
   * Never again: it becomes a dead letter.
   *
   * @param reason Why.
   * @throws {MessageQueueError} As `ack`.
   */
  reject(reason?: string): Promise<void>;
  /**
   * Keeps it for longer.
   *
   * @param ms For how many milliseconds from now.
   * @throws {MessageQueueError} `lease_lost`; `unsupported` when the backend has no leases.
   */
  extend(ms: number): Promise<void>;
}

/** Who settles what a {@linkcode HeldDelivery} is told. */
export interface Holder {
  /** The group. */
  readonly group: string;
  /** Whether `nack` can delay. */
  readonly canDelay: boolean;
  /** Settles; rejects when refused. */
  settle(delivery: HeldDelivery, settlement: Settlement): Promise<void>;
  /** Extends the lease; rejects when refused. */
  extend(delivery: HeldDelivery, ms: number): Promise<void>;
}

/** Why the signal of a delivery that was settled is aborted. */
export const settledReason: DOMException = new DOMException("The delivery was settled", "AbortError");

/** A {@linkcode Delivery} over a backend's claim. */
export class HeldDelivery implements Delivery, Linked<HeldDelivery> {
  /** What the backend gave. */
  readonly claim: Claim;
  /** When the lease ends unless it is extended, in milliseconds since 1970. */
  leaseEndsAt: number;
  /** Whether the backend said, or the clock says, that it is no longer ours. */
  lost = false;
  /** The decoded payload; set when it is handed over. */
  payload: Payload = noPayload;
  /** The headers to show, where they are not those that the backend gave. */
  ownHeaders: Headers | undefined = undefined;
  /** Told when the delivery ends, and how it was settled, if it was; set for middlewares that wait for it. */
  whenEnded: ((reason: unknown, settlement: Settlement | undefined) => void) | undefined = undefined;
  /** Who waits for the outcome of its settlement, if anybody. */
  waiter: { resolve(): void; reject(error: unknown): void } | undefined = undefined;
  before: HeldDelivery | undefined = undefined;
  after: HeldDelivery | undefined = undefined;
  isLinked = false;
  readonly #holder: Holder;
  #settled: Promise<void> | undefined;
  #controller: AbortController | undefined;
  #hasEnded = false;
  #endReason: unknown;

  constructor(claim: Claim, holder: Holder, leaseEndsAt: number) {
    this.claim = claim;
    this.#holder = holder;
    this.leaseEndsAt = leaseEndsAt;
  }

  get id(): string {
    return this.claim.id;
  }
  get key(): string {
    return this.claim.key;
  }
  get headers(): Headers {
    return this.ownHeaders ?? this.claim.headers;
  }
  get attempt(): number {
    return this.claim.attempt;
  }
  get publishedAt(): Date {
    return new Date(this.claim.publishedAt);
  }
  get group(): string {
    return this.#holder.group;
  }
  get orderingKey(): string | undefined {
    return this.claim.orderingKey;
  }

  /** Made when first asked for: most deliveries are settled without anybody looking. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#hasEnded) this.#controller.abort(this.#endReason);
    }
    return this.#controller.signal;
  }

  /** Whether a settlement was asked for. */
  get isSettled(): boolean {
    return this.#settled !== undefined;
  }

  /** Whether its payload is there. */
  get isOpen(): boolean {
    return this.payload !== noPayload;
  }

  /** Aborts the signal; only the first reason counts. */
  end(reason: unknown, settlement?: Settlement): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#endReason = reason;
    this.#controller?.abort(reason);
    this.whenEnded?.(reason, settlement);
  }

  ack(): Promise<void> {
    return this.#settled ?? this.#settle({ claim: this.claim, verb: "ack" });
  }

  async nack(options: NackOptions = {}): Promise<void> {
    if (this.#settled !== undefined) return await this.#settled;
    const { delayMs = 0, reason } = options;
    checkDuration("delayMs", delayMs, 0);
    if (delayMs > 0 && !this.#holder.canDelay) {
      throw new MessageQueueError("unsupported", "Cannot nack with delayMs: this backend cannot hold a message back");
    }
    await this.#settle({ claim: this.claim, verb: "nack", delayMs, ...(reason !== undefined && { error: reason }) });
  }

  reject(reason = "rejected"): Promise<void> {
    return this.rejectWith(reason, undefined);
  }

  /** Rejects with an error's text beside the reason. */
  rejectWith(reason: string, error: string | undefined): Promise<void> {
    return this.#settled ??
      this.#settle({ claim: this.claim, verb: "reject", reason, ...(error !== undefined && { error }) });
  }

  /** Gives it back without counting the attempt. */
  release(): Promise<void> {
    return this.#settled ?? this.#settle({ claim: this.claim, verb: "release" });
  }

  async extend(ms: number): Promise<void> {
    checkDuration("ms", ms, 1);
    if (this.#settled !== undefined) throw new MessageQueueError("lease_lost", "Cannot extend: it was settled");
    await this.#holder.extend(this, ms);
  }

  #settle(settlement: Settlement): Promise<void> {
    this.#settled = this.#holder.settle(this, settlement);
    return this.#settled;
  }

  /** Notes a settlement that nobody waits for, so that a later call does not settle again. */
  markSettled(): void {
    this.#settled = settledQuietly;
  }
}

const noPayload: Payload = Object.freeze({});
const settledQuietly: Promise<void> = Promise.resolve();
