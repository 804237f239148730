/**
 * Waiting that ends with an `AbortSignal` and leaves no listener and no timer behind.
 *
 * @module
 */

/**
 * Calls back once when a signal is aborted; at once when it already is.
 *
 * @param signal The signal, if any.
 * @param callback What to call.
 * @returns Takes the listener away again.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    callback();
    return () => {};
  }
  signal.addEventListener("abort", callback, { once: true });
  return () => signal.removeEventListener("abort", callback);
}

/**
 * Waits; ends early, normally, when a signal is aborted.
 *
 * @param ms How long, in milliseconds.
 * @param signal Ends the wait.
 */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(end, ms);
    const forget = onAbort(signal, end);
    function end(): void {
      clearTimeout(timer);
      forget();
      resolve();
    }
  });
}

/**
 * Waits for a promise, and no longer than a signal allows.
 *
 * @param promise What to wait for. When the signal ends the wait, its outcome is dropped.
 * @param signal The signal, if any.
 * @returns What the promise resolves with.
 * @throws The signal's reason when it is aborted first.
 */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  let forget = () => {};
  const aborted = new Promise<never>((_, reject) => {
    forget = onAbort(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    forget();
  }
}

/**
 * Waits for a promise to settle either way, and no longer than a time.
 *
 * @param promise What to wait for; its rejection is the business of others.
 * @param ms How long at most, in milliseconds.
 * @returns Whether it settled in time.
 */
export async function settledWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([promise.then(() => true, () => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
