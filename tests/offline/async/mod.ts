/**
 * A small stand-in for `@std/async`, for machines that cannot reach JSR. Only what this repository uses, by the same names.
 *
 * @module
 */

/** Options of {@linkcode delay}. */
export interface DelayOptions {
  /** Rejects with the signal's reason when aborted. */
  signal?: AbortSignal;
  /**
   * Whether it keeps the process alive; here it always does.
   *
   * @default {true}
   */
  persistent?: boolean;
}

/** Options of {@linkcode deadline}. */
export interface DeadlineOptions {
  /** Rejects with the signal's reason when aborted. */
  signal?: AbortSignal;
}

/** Resolves after so many milliseconds. */
export function delay(ms: number, { signal }: DelayOptions = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Resolves as the promise does, or rejects with the signal's reason when it is aborted before. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** Resolves as the promise does, or rejects with a `TimeoutError` after so many milliseconds. */
export async function deadline<T>(promise: Promise<T>, ms: number, { signal }: DeadlineOptions = {}): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new DOMException("Signal timed out.", "TimeoutError")), ms);
  try {
    return await abortable(promise, signal ? AbortSignal.any([signal, late.signal]) : late.signal);
  } finally {
    clearTimeout(timer);
  }
}
