/**
 * Counting who listens to a signal, to find listeners that were left behind.
 *
 * @module
 */

/** A signal whose listeners are counted. */
export interface CountedSignal {
  /** The signal. */
  readonly signal: AbortSignal;
  /** How many listeners for its abort there are. */
  readonly listeners: number;
  /** Aborts it. */
  abort(reason?: unknown): void;
}

/**
 * Makes a signal whose listeners are counted.
 *
 * @returns The signal and its count.
 */
export function countedSignal(): CountedSignal {
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  // Own members in front of those that the runtime's class has: whoever is handed the signal goes through them.
  Object.defineProperties(signal, {
    addEventListener: {
      value: (type: string, listener: EventListener, options?: AddEventListenerOptions) => {
        if (type === "abort") listeners.add(listener);
        addEventListener.call(signal, type, listener, options);
      },
    },
    removeEventListener: {
      value: (type: string, listener: EventListener, options?: EventListenerOptions) => {
        if (type === "abort") listeners.delete(listener);
        removeEventListener.call(signal, type, listener, options);
      },
    },
  });
  return {
    signal,
    get listeners() {
      return listeners.size;
    },
    abort: (reason) => controller.abort(reason),
  };
}
