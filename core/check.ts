/**
 * Checks of option values, so that every range error reads the same.
 *
 * @module
 */

/** The longest time that timers of all runtimes can wait: 2^31 - 1 ms, about 24.8 days. */
export const maxTimerMs = 2_147_483_647;

/**
 * Checks a whole number.
 *
 * @param name The option, for the error.
 * @param value Its value.
 * @param min The least allowed.
 * @param max The greatest allowed.
 * @returns The value.
 * @throws {RangeError} When it is not a whole number within the range.
 */
export function checkInteger(name: string, value: number, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    const wanted = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `from ${min} to ${max}`;
    throw new RangeError(`Cannot use ${String(value)} as ${name}: it must be a whole number ${wanted}`);
  }
  return value;
}

/**
 * Checks a duration.
 *
 * @param name The option, for the error; ends in `Ms`.
 * @param value Milliseconds.
 * @param min The least allowed, in milliseconds.
 * @param max The greatest allowed, in milliseconds.
 * @returns The value.
 * @throws {RangeError} When it is not a number of milliseconds within the range.
 */
export function checkDuration(name: string, value: number, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number" || !(value >= min) || value > max) {
    const wanted = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `from ${min} to ${max}`;
    throw new RangeError(`Cannot use ${String(value)} as ${name}: it must be a number of milliseconds, ${wanted}`);
  }
  return value;
}
