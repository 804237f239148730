/**
 * A queue whose ends cost the same however long it is (an array's own `shift` moves everything behind it).
 *
 * @module
 */

/** First in, first out. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  /** How many wait. */
  get size(): number {
    return this.#items.length - this.#head;
  }

  /** Adds at the end. */
  push(item: T): void {
    this.#items.push(item);
  }

  /** Adds at the front. */
  unshift(item: T): void {
    if (this.#head > 0) this.#items[--this.#head] = item;
    else this.#items.unshift(item);
  }

  /** Adds behind every item for which `isBefore` holds, looking from the end. */
  insert(item: T, isBefore: (other: T) => boolean): void {
    let at = this.#items.length;
    for (; at > this.#head; at--) {
      const other = this.#items[at - 1];
      if (other !== undefined && isBefore(other)) break;
    }
    if (at === this.#head) this.unshift(item);
    else this.#items.splice(at, 0, item);
  }

  /** Takes the first. */
  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length || this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** All, first to last. */
  *[Symbol.iterator](): Generator<T> {
    for (let at = this.#head; at < this.#items.length; at++) yield this.#items[at] as T;
  }
}
