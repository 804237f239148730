/**
 * Things that become due at a time: a heap and one timer.
 *
 * @module
 */

/** A clock and its timers; tests give their own. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back after `ms` milliseconds; the result takes it back. */
  setTimeout(callback: () => void, ms: number): () => void;
}

/** The clock of this machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout(callback, ms) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

// Timers of all runtimes take at most 2^31 - 1 ms; a longer wait is done in steps.
const longestMs = 2 ** 31 - 1;

/** One timer, for the earliest of the times it was given. */
export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #time = Infinity;
  #cancel: (() => void) | undefined;

  /**
   * @param clock The clock.
   * @param ring Called when the time has come; sets the alarm anew as needed.
   */
  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Rings no later than `time`. */
  set(time: number): void {
    if (time >= this.#time) return;
    this.clear();
    this.#time = time;
    const ms = Math.min(longestMs, Math.max(0, Math.ceil(time - this.#clock.now())));
    this.#cancel = this.#clock.setTimeout(() => {
      this.#time = Infinity;
      this.#cancel = undefined;
      this.#ring();
    }, ms);
  }

  /** Rings no more until it is set. */
  clear(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#time = Infinity;
  }
}

/** What is held back: taken out in the order of its times, and of its coming where they are equal. A binary heap. */
export class DueHeap<T> {
  readonly #items: { readonly time: number; readonly order: number; readonly value: T }[] = [];
  #order = 0;

  /** How many are held back. */
  get size(): number {
    return this.#items.length;
  }

  /** The earliest time; `Infinity` when nothing is held back. */
  get earliest(): number {
    return this.#items[0]?.time ?? Infinity;
  }

  /** Everything, in no order. */
  *values(): Generator<T> {
    for (const { value } of this.#items) yield value;
  }

  /** Holds a value back until a time. */
  add(time: number, value: T): void {
    const items = this.#items;
    const item = { time, order: this.#order++, value };
    let at = items.length;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = items[parentAt];
      if (parent === undefined || before(parent, item)) break;
      items[at] = parent;
      at = parentAt;
    }
    items[at] = item;
  }

  /** Takes out the first value that is due by `now`. */
  take(now: number): T | undefined {
    const items = this.#items;
    const first = items[0];
    if (first === undefined || first.time > now) return undefined;
    const last = items.pop();
    if (last !== undefined && last !== first) this.#sink(last);
    return first.value;
  }

  #sink(item: { readonly time: number; readonly order: number; readonly value: T }): void {
    const items = this.#items;
    let at = 0;
    for (;;) {
      const left = items[2 * at + 1];
      const right = items[2 * at + 2];
      const child = right !== undefined && left !== undefined && before(right, left) ? right : left;
      if (child === undefined || before(item, child)) break;
      items[at] = child;
      at = child === left ? 2 * at + 1 : 2 * at + 2;
    }
    items[at] = item;
  }
}

function before(a: { time: number; order: number }, b: { time: number; order: number }): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}
