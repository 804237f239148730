/**
 * The dead letters of one group, oldest first.
 *
 * @module
 */

import type { DeadLetter, DeadLetterPage } from "../../core/backend.ts";

/** Dead letters by the order of their coming. */
export class DeadLetterList {
  /** By a number that only grows, which is the cursor of a page. */
  readonly #letters = new Map<number, DeadLetter>();
  #next = 0;

  /** How many there are. */
  get size(): number {
    return this.#letters.size;
  }

  add(letter: DeadLetter): void {
    this.#letters.set(this.#next++, letter);
  }

  /** At most `limit` of them, from a cursor on. */
  list(limit: number, cursor: string | undefined): DeadLetterPage {
    const from = cursor === undefined ? 0 : Number(cursor);
    const deadLetters: DeadLetter[] = [];
    for (const [number, letter] of this.#letters) {
      if (number < from) continue;
      if (deadLetters.length === limit) return { deadLetters, cursor: String(number) };
      deadLetters.push(letter);
    }
    return { deadLetters };
  }

  /** The oldest with an id. */
  get(id: string): DeadLetter | undefined {
    for (const letter of this.#letters.values()) if (letter.id === id) return letter;
    return undefined;
  }

  /** Takes out those with these ids, or all. */
  take(ids: readonly string[] | undefined): DeadLetter[] {
    const wanted = ids && new Set(ids);
    const taken: DeadLetter[] = [];
    for (const [number, letter] of this.#letters) {
      if (wanted !== undefined && !wanted.has(letter.id)) continue;
      this.#letters.delete(number);
      taken.push(letter);
    }
    return taken;
  }
}
