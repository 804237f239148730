/**
 * Waiting with a deadline: for a condition, for a promise.
 *
 * @module
 */

// Short beside what a broker takes, long beside what a look costs.
const lookEveryMs = 5;

/** A wait that ran out. */
export class DeadlineError extends Error {
  /**
   * @param what What was waited for.
   * @param deadlineMs How long, in milliseconds.
   */
  constructor(what: string, deadlineMs: number) {
    super(`Waited ${deadlineMs} ms in vain: ${what}`);
    this.name = "DeadlineError";
  }
}

/**
 * Waits for a promise, but not for ever.
 *
 * @param promise What is waited for; goes on by itself when the deadline passes.
 * @param what What it is, for the error.
 * @param deadlineMs How long to wait, in milliseconds.
 * @returns What the promise resolves to.
 * @throws {DeadlineError} When it took longer.
 */
export function within<T>(promise: PromiseLike<T>, what: string, deadlineMs: number): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new DeadlineError(what, deadlineMs)), deadlineMs);
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/**
 * Waits until a condition holds.
 *
 * @param condition Looked at again and again; what it throws ends the wait.
 * @param what What should come true, for the error; a function is called when it did not.
 * @param deadlineMs How long to wait, in milliseconds.
 * @throws {DeadlineError} When it did not come true.
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  deadlineMs: number,
): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new DeadlineError(typeof what === "string" ? what : what(), deadlineMs);
    await pause(lookEveryMs);
  }
}

/**
 * Lets time pass.
 *
 * @param ms How long, in milliseconds.
 */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
