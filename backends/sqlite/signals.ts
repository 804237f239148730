/**
 * How consumers in the same process learn at once that there is something to do, across the backends that have the same file open.
 *
 * @module
 */

/** Called when something may have become due: for one group, or, with `undefined`, for every group of the exchange. */
export type Listener = (groupId: number | undefined) => void;

// By the file's real path. Nothing is kept for a file once its last backend is closed.
const open = new Map<string, { users: number; readonly signals: Signals }>();

/** Who waits for a file's exchanges in this process. */
export class Signals {
  readonly #listeners = new Map<number, Set<Listener>>();

  /** Those of a file. */
  static acquire(path: string): Signals {
    let entry = open.get(path);
    if (entry === undefined) {
      entry = { users: 0, signals: new Signals() };
      open.set(path, entry);
    }
    entry.users++;
    return entry.signals;
  }

  /** Gives back what {@linkcode acquire} gave. */
  static release(path: string): void {
    const entry = open.get(path);
    if (entry !== undefined && --entry.users === 0) open.delete(path);
  }

  /** Listens to an exchange. @returns A function that stops it. */
  listen(exchangeId: number, listener: Listener): () => void {
    let listeners = this.#listeners.get(exchangeId);
    if (listeners === undefined) this.#listeners.set(exchangeId, listeners = new Set());
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(exchangeId) === listeners) this.#listeners.delete(exchangeId);
    };
  }

  /** Says that something may have become due for a group, or for every group of the exchange. */
  notify(exchangeId: number, groupId?: number): void {
    for (const listener of this.#listeners.get(exchangeId) ?? []) listener(groupId);
  }
}
