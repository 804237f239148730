/**
 * Gathers settlements, so that many acks make one round trip.
 *
 * @module
 */

import type { Receiver, Settlement } from "./backend.ts";
import type { Backoff } from "./backoff.ts";
import { isRetryable } from "./errors.ts";
import { pause } from "./signals.ts";

/** Told what became of a settlement: whether it was still ours to settle, or what went wrong. */
export type Outcome<T> = (settled: T, settlement: Settlement, held: boolean, error: unknown) => void;

/**
 * Settles in batches by their own clock: the first goes out at the end of the tick, and while one call is under way the next ones gather. So a
 * single ack waits for nothing, and a thousand share a few calls, without a timer.
 */
export class Settler<T> {
  readonly #receiver: () => Receiver;
  readonly #backoff: Backoff;
  readonly #patienceMs: number;
  readonly #outcome: Outcome<T>;
  /** What is settled, and how: two lists side by side, as a backend takes the second as it is. */
  #waiting: T[] = [];
  #settlements: Settlement[] = [];
  #running: Promise<void> | undefined;
  readonly #hurry = new AbortController();

  /**
   * @param receiver Gives the receiver that made the claims.
   * @param backoff The waits while the broker is away.
   * @param patienceMs How long to try again while the broker is away: past the lease it makes no difference any more.
   * @param outcome Told of each; must not throw.
   */
  constructor(receiver: () => Receiver, backoff: Backoff, patienceMs: number, outcome: Outcome<T>) {
    this.#receiver = receiver;
    this.#backoff = backoff;
    this.#patienceMs = patienceMs;
    this.#outcome = outcome;
  }

  /** Adds to the next batch. */
  add(settled: T, settlement: Settlement): void {
    this.#waiting.push(settled);
    this.#settlements.push(settlement);
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
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      const settlements = this.#settlements;
      this.#waiting = [];
      this.#settlements = [];
      let held: readonly boolean[] = [];
      let failure: unknown;
      try {
        held = await this.#settle(settlements);
      } catch (error) {
        failure = error;
      }
      for (let i = 0; i < batch.length; i++) {
        const settled = batch[i];
        const settlement = settlements[i];
        if (settled !== undefined && settlement !== undefined) {
          this.#outcome(settled, settlement, held[i] === true, failure);
        }
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
