/**
 * Gathers settlements, so that many acks make one round trip.
 *
 * @module
 */

import type { Receiver, Settlement } from "./backend.ts";
import type { Backoff } from "./backoff.ts";
import { isRetryable } from "./errors.ts";
import { pause } from "./signals.ts";

/** What becomes of a settlement: whether it was still ours to settle, or what went wrong. */
export type Outcome = (held: boolean | undefined, error: unknown) => void;

/**
 * Settles in batches by their own clock: the first goes out at the end of the tick, and while one call is under way the next ones gather. So a
 * single ack waits for nothing, and a thousand share a few calls, without a timer.
 */
export class Settler {
  readonly #receiver: () => Receiver;
  readonly #backoff: Backoff;
  readonly #patienceMs: number;
  #settlements: Settlement[] = [];
  #outcomes: Outcome[] = [];
  #running: Promise<void> | undefined;
  readonly #hurry = new AbortController();

  /**
   * @param receiver Gives the receiver that made the claims.
   * @param backoff The waits while the broker is away.
   * @param patienceMs How long to try again while the broker is away: past the lease it makes no difference any more.
   */
  constructor(receiver: () => Receiver, backoff: Backoff, patienceMs: number) {
    this.#receiver = receiver;
    this.#backoff = backoff;
    this.#patienceMs = patienceMs;
  }

  /** Adds a settlement to the next batch. */
  add(settlement: Settlement, outcome: Outcome): void {
    this.#settlements.push(settlement);
    this.#outcomes.push(outcome);
    // An async function runs at once up to its first await, so it starts by waiting for the end of the tick.
    this.#running ??= this.#run();
  }

  /** Resolves when nothing is left to settle. From now on a broker that is away is not waited for. */
  finish(): Promise<void> {
    this.#hurry.abort();
    return this.idle();
  }

  /** Resolves when nothing is left to settle. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    await undefined;
    while (this.#settlements.length > 0) {
      const settlements = this.#settlements;
      const outcomes = this.#outcomes;
      this.#settlements = [];
      this.#outcomes = [];
      try {
        const held = await this.#settle(settlements);
        for (let i = 0; i < outcomes.length; i++) outcomes[i]?.(held[i] === true, undefined);
      } catch (error) {
        for (const outcome of outcomes) outcome(undefined, error);
      }
    }
    this.#running = undefined;
  }

  async #settle(settlements: readonly Settlement[]): Promise<readonly boolean[]> {
    const giveUpAt = Date.now() + this.#patienceMs;
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#receiver().settle(settlements);
      } catch (error) {
        if (!isRetryable(error) || this.#hurry.signal.aborted || Date.now() >= giveUpAt) throw error;
        await pause(Math.min(this.#backoff(attempt), giveUpAt - Date.now()), this.#hurry.signal);
      }
    }
  }
}
