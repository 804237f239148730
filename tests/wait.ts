/**
 * Waiting for a condition, with a deadline, instead of sleeping and hoping.
 *
 * @module
 */

import { setTimeout as sleep } from "node:timers/promises";

/** How to wait. */
export interface UntilOptions {
  /** What is waited for, for the error. */
  readonly what: string;
  /**
   * When to give up, in milliseconds.
   *
   * @default {30_000}
   */
  readonly timeoutMs?: number;
  /**
   * How long between two looks, in milliseconds.
   *
   * @default {10}
   */
  readonly intervalMs?: number;
}

/**
 * Looks again and again until a condition holds.
 *
 * @param condition Returns something truthy once it holds. What it throws is thrown.
 * @param options What is waited for, and for how long.
 * @returns What the condition returned.
 * @throws {Error} When it does not hold in time.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { what, timeoutMs = 30_000, intervalMs = 10 }: UntilOptions,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() >= deadline) throw new Error(`Waited ${timeoutMs} ms in vain for ${what}`);
    await sleep(intervalMs);
  }
}
