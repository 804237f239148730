/**
 * A line that tells how far something is, redrawn in place.
 *
 * @module
 */

import { formatDuration, formatNumber } from "./style.ts";

// Often enough to look smooth, seldom enough to cost nothing.
const redrawMs = 100;
const barWidth = 24;

/** A progress line on a terminal; where there is none it only counts. */
export class Progress {
  /** How many are done. */
  count = 0;
  /** How much of the total is read. */
  done = 0;
  readonly #write: ((text: string) => void) | undefined;
  readonly #what: string;
  readonly #total: number | undefined;
  readonly #start = performance.now();
  #drawnAt = 0;

  /**
   * @param what What is counted, such as `published`.
   * @param options Where to draw, and the total that `done` goes up to, if it is known.
   */
  constructor(
    what: string,
    options: { readonly write?: ((text: string) => void) | undefined; readonly total?: number | undefined },
  ) {
    this.#what = what;
    this.#write = options.write;
    this.#total = options.total;
  }

  /** How long it has been going on, in milliseconds. */
  get elapsedMs(): number {
    return performance.now() - this.#start;
  }

  /** How many a second. */
  get rate(): number {
    return this.count / Math.max(this.elapsedMs, 1) * 1_000;
  }

  /** Draws the line, unless it was drawn a moment ago. */
  draw(): void {
    const now = performance.now();
    if (this.#write === undefined || now - this.#drawnAt < redrawMs) return;
    this.#drawnAt = now;
    this.#write(`\r${this.#line()}\x1b[K`);
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#drawnAt > 0) this.#write?.("\r\x1b[K");
    this.#drawnAt = 0;
  }

  #line(): string {
    const counted = `${formatNumber(this.count)} ${this.#what}, ${formatNumber(this.rate)}/s`;
    if (this.#total === undefined || this.#total === 0) return `${counted}, ${formatDuration(this.elapsedMs)}`;
    const part = Math.min(this.done / this.#total, 1);
    const filled = Math.round(part * barWidth);
    return `[${"#".repeat(filled)}${"-".repeat(barWidth - filled)}] ${Math.floor(part * 100)} %  ${counted}`;
  }
}
