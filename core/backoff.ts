/**
 * How long to wait before the next try: a pure function of how often it failed.
 *
 * @module
 */

import { checkDuration } from "./check.ts";

/** Options of {@linkcode exponentialBackoff}. */
export interface BackoffOptions {
  /**
   * The longest wait after the first failure, in milliseconds; doubled for each further one.
   *
   * @default {500}
   */
  readonly baseMs?: number;
  /**
   * The longest wait of all, in milliseconds.
   *
   * @default {60_000}
   */
  readonly maxMs?: number;
  /**
   * A number from 0 up to but not including 1, for the jitter.
   *
   * @default {Math.random}
   */
  readonly random?: () => number;
}

/** Gives the wait before the next try, in milliseconds, after `attempt` failures. */
export type Backoff = (attempt: number) => number;

/**
 * Exponential backoff with full jitter: a random wait up to `baseMs * 2 ** (attempt - 1)`, capped at `maxMs`.
 *
 * The algorithm is "Full Jitter" of Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: many clients that fail
 * together do not come back together.
 *
 * @param options Base, cap, randomness.
 * @returns The wait in milliseconds by the number of failures, from 1.
 * @throws {RangeError} When a duration is no number of milliseconds of at least 0.
 *
 * @example
 * ```ts
 * import { exponentialBackoff } from "@abe/mq";
 *
 * const backoff = exponentialBackoff({ baseMs: 100, maxMs: 1_000, random: () => 0.5 });
 * console.assert(backoff(1) === 50 && backoff(3) === 200 && backoff(50) === 500);
 * ```
 */
export function exponentialBackoff(options: BackoffOptions = {}): Backoff {
  const { baseMs = 500, maxMs = 60_000, random = Math.random } = options;
  checkDuration("baseMs", baseMs, 0);
  checkDuration("maxMs", maxMs, 0);
  // The exponent is bounded because 0 * Infinity is no number.
  return (attempt) => random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 1_000));
}

/** The waits while a broker is away, unless told otherwise: soon enough for a restart, seldom enough for an outage. */
export const reconnectBackoff: Backoff = exponentialBackoff({ baseMs: 100, maxMs: 5_000 });
