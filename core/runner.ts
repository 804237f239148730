/**
 * `subscribe`: a handler kept busy, with retry, time limits and a drain in two phases.
 *
 * @module
 */

import { type Backoff, exponentialBackoff } from "./backoff.ts";
import type { Payload } from "./codec.ts";
import type { Delivery, HeldDelivery } from "./delivery.ts";
import { describeError, MessageQueueError } from "./errors.ts";
import type { Intake } from "./intake.ts";
import type { Logger } from "./logger.ts";
import { onAbort, pause, settledWithin } from "./signals.ts";
import { errorWithIssues } from "./topics.ts";

/** Handles one delivery. When it returns, the delivery is acked; when it throws, the retry policy decides. */
export type Handler<T extends object = Payload> = (delivery: Delivery<T>) => unknown;

/** What a retry policy is told. */
export interface Failure {
  /** Which attempt failed, from 1. */
  readonly attempt: number;
  /** What the handler threw. */
  readonly error: unknown;
}

/**
 * Decides when a failed message is tried again: in how many milliseconds, or never (`null`: it becomes a dead letter). A pure function. The
 * group's `maxAttempts` holds beside it.
 */
export type RetryPolicy = (failure: Failure) => number | null;

/**
 * Retries with exponential backoff and full jitter.
 *
 * @param options `attempts`: after so many a message becomes a dead letter (the default leaves it to the group's `maxAttempts`); and the
 *   `backoff`, by default from 500 ms to 60 s.
 * @returns The policy.
 *
 * @example
 * ```ts
 * import { exponentialBackoff, retryWithBackoff } from "@abe/mq";
 *
 * const retry = retryWithBackoff({ attempts: 3, backoff: exponentialBackoff({ baseMs: 100, random: () => 0.5 }) });
 * console.assert(retry({ attempt: 1, error: new Error("busy") }) === 50);
 * console.assert(retry({ attempt: 3, error: new Error("busy") }) === null);
 * ```
 */
export function retryWithBackoff(
  options: { readonly attempts?: number; readonly backoff?: Backoff } = {},
): RetryPolicy {
  const { attempts = Infinity, backoff = exponentialBackoff() } = options;
  return ({ attempt }) => attempt >= attempts ? null : backoff(attempt);
}

/** How a {@linkcode Subscription} ends. */
export interface DrainOptions {
  /**
   * How long handlers may go on, in milliseconds; then their signal is aborted and their message given back.
   *
   * @default {30_000}
   */
  readonly timeoutMs?: number;
}

/** A handler at work. Disposing it drains it. */
export interface Subscription extends AsyncDisposable {
  /** Resolves when it has ended; rejects when it ended by an error that no retry mends. */
  readonly closed: Promise<void>;
  /**
   * Takes nothing more in, lets the handlers finish, then aborts those that did not, gives the rest back, and leaves the group. A second call
   * joins the first.
   *
   * @param options How long to wait for handlers.
   */
  drain(options?: DrainOptions): Promise<void>;
}

/** How a handler is run. */
export interface RunnerOptions {
  readonly concurrency: number;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number | undefined;
  readonly drainTimeoutMs: number;
  readonly onError: ((error: unknown, delivery: Delivery) => unknown) | undefined;
  readonly signal: AbortSignal | undefined;
  readonly logger: Logger;
}

/** Runs a handler over an intake. */
export class Runner implements Subscription {
  readonly closed: Promise<void>;
  readonly #intake: Intake;
  readonly #handler: Handler;
  readonly #options: RunnerOptions;
  #inHand = 0;
  readonly #workers: Promise<void>;
  readonly #cut = new AbortController();
  #forgetSignal: () => void = () => {};
  #draining: Promise<void> | undefined;

  constructor(intake: Intake, handler: Handler, options: RunnerOptions) {
    this.#intake = intake;
    this.#handler = handler;
    this.#options = options;
    this.#workers = this.#workAll(options.concurrency);
    // A fatal error must come out even where nobody awaits `closed`: it is logged, and so is not a silent end.
    this.closed = this.#workers.then(() => this.drain(), async (error) => {
      options.logger.error(`The subscription of group "${intake.group}" ended: ${describeError(error)}`);
      await this.drain();
      throw error;
    });
    this.closed.catch(() => {});
    this.#forgetSignal = onAbort(options.signal, () => void this.drain());
  }

  drain(options: DrainOptions = {}): Promise<void> {
    this.#draining ??= this.#drain(options.timeoutMs ?? this.#options.drainTimeoutMs);
    return this.#draining;
  }

  async #drain(timeoutMs: number): Promise<void> {
    this.#intake.stop();
    if (!(await settledWithin(this.#workers, timeoutMs))) {
      this.#options.logger.warn(
        `${this.#inHand} handlers of group "${this.#intake.group}" did not end in ${timeoutMs} ms; their messages are given back`,
      );
      this.#cut.abort();
    }
    await this.#intake.close();
    this.#forgetSignal();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  async #workAll(concurrency: number): Promise<void> {
    const ends = await Promise.allSettled(Array.from({ length: concurrency }, () => this.#work()));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  async #work(): Promise<void> {
    try {
      await this.#loop();
    } catch (error) {
      // One worker's fatal error ends the others.
      this.#intake.stop();
      throw error;
    }
  }

  async #loop(): Promise<void> {
    for (;;) {
      const delivery = this.#intake.take() ?? await this.#intake.next();
      if (delivery === undefined) return;
      this.#inHand++;
      try {
        await this.#run(delivery);
        // Not awaited: the next message need not wait for the round trip, and the drain waits for what is under way.
        if (!delivery.isSettled) this.#intake.settleQuietly(delivery, { claim: delivery.claim, verb: "ack" });
      } catch (error) {
        if (!this.#cut.signal.aborted) await this.#failed(delivery, error);
      }
      this.#inHand--;
    }
  }

  #run(delivery: HeldDelivery): unknown {
    const { timeoutMs } = this.#options;
    return timeoutMs === undefined ? this.#call(delivery) : this.#runWithin(delivery, timeoutMs);
  }

  #call(delivery: HeldDelivery): unknown {
    return delivery.isOpen ? this.#handler(delivery) : this.#lead(delivery);
  }

  async #lead(delivery: HeldDelivery): Promise<void> {
    const passage = this.#intake.passage(delivery);
    try {
      await passage.run(() => this.#handler(delivery));
    } catch (error) {
      const reason = passage.hopeless(error);
      throw reason === undefined ? error : new Hopeless(reason, error);
    }
  }

  async #runWithin(delivery: HeldDelivery, timeoutMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new MessageQueueError("timeout", `The handler did not end in ${timeoutMs} ms`);
        delivery.end(error);
        reject(error);
      }, timeoutMs);
    });
    try {
      await Promise.race([late, (async () => await this.#call(delivery))()]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #failed(delivery: HeldDelivery, error: unknown): Promise<void> {
    const { logger, retry } = this.#options;
    const text = describeError(error);
    if (error instanceof Hopeless) {
      logger.error(`Message ${delivery.id} of group "${this.#intake.group}" is ${error.reason}: ${text}`);
      return await this.#settleFailed(delivery, () => delivery.rejectWith(error.reason, errorWithIssues(error.cause)));
    }
    logger.error(
      `Message ${delivery.id} of group "${this.#intake.group}" failed, attempt ${delivery.attempt}: ${text}`,
    );
    await this.#tell(error, delivery);
    if (delivery.isSettled || delivery.lost) return;
    const delayMs = this.#decide(retry, { attempt: delivery.attempt, error });
    if (delayMs === null) return await this.#settleFailed(delivery, () => delivery.rejectWith("failed", text));
    if (this.#intake.canDelay) {
      return await this.#settleFailed(delivery, () => delivery.nack({ delayMs, reason: text }));
    }
    // The backend cannot hold it back, so it waits here, in hand, its lease renewed.
    await pause(delayMs, this.#cut.signal);
    if (!this.#cut.signal.aborted) await this.#settleFailed(delivery, () => delivery.nack({ reason: text }));
  }

  #decide(retry: RetryPolicy, failure: Failure): number | null {
    const delayMs = retry(failure);
    if (delayMs === null || (typeof delayMs === "number" && delayMs >= 0)) return delayMs;
    throw new TypeError(`Cannot retry in ${String(delayMs)}: a retry policy returns milliseconds or null`);
  }

  async #settleFailed(delivery: HeldDelivery, settle: () => Promise<void>): Promise<void> {
    try {
      await settle();
    } catch (error) {
      // A backend without dead letters has no place for it: that ends the subscription, and not in silence.
      if (error instanceof MessageQueueError && (error.code === "exhausted" || error.code === "unsupported")) {
        throw error;
      }
      this.#options.logger.warn(`Message ${delivery.id} of group "${this.#intake.group}": ${describeError(error)}`);
    }
  }

  async #tell(error: unknown, delivery: HeldDelivery): Promise<void> {
    try {
      await this.#options.onError?.(error, delivery);
    } catch (hookError) {
      this.#options.logger.error(`The onError hook failed: ${describeError(hookError)}`);
    }
  }
}

/** A message that never got to the handler, and never will. */
class Hopeless extends Error {
  readonly reason: string;

  constructor(reason: string, cause: unknown) {
    super(describeError(cause), { cause });
    this.reason = reason;
  }
}
