/**
 * How this process learns that another one has written to the file.
 *
 * Every write touches the write-ahead log, which the file system reports; `data_version` then tells whether another connection has
 * committed. The report comes with the write, a moment before the commit can be seen, so a second look follows, and a slow poll catches
 * what the file system does not tell (network folders, containers).
 *
 * @module
 */

import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";

// Milliseconds after a report at which to look again: most commits can be seen within one, a large one later.
const looks = [1, 4, 15];

const slowPollMs = 200;

// Without reports from the file system, what a consumer waits at most; a look costs some 3 µs.
const quickPollMs = 5;

// The slow poll also notices a clock that was set, by comparing it with one that cannot be.
const clockToleranceMs = 50;

/** What a watcher is given. */
export interface WatcherOptions {
  /** The file. */
  readonly path: string;
  /** Reads `data_version`. */
  readonly version: () => number;
  /** Called when another connection has committed, or the clock was set. */
  readonly changed: () => void;
  /** The clock. */
  readonly now: () => number;
}

/** Watches from `start` to `stop`. Keeps no process alive. */
export class Watcher {
  readonly #options: WatcherOptions;
  #watch: FSWatcher | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;
  #look: ReturnType<typeof setTimeout> | undefined;
  #looks = 0;
  #version = 0;
  #clock = 0;

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  /** Starts. */
  start(): void {
    if (this.#poll !== undefined) return;
    this.#version = this.#options.version();
    this.#clock = this.#offset();
    const { path } = this.#options;
    const name = basename(path);
    let pollMs = slowPollMs;
    try {
      // The folder, as the log beside the file comes and goes.
      const watcher = watch(dirname(path), { persistent: false }, (_, file) => {
        if (file === null || file === `${name}-wal` || file === name) this.#reported();
      });
      watcher.on("error", () => this.#pollOnly());
      watcher.unref();
      this.#watch = watcher;
    } catch {
      // No watches left, or none on this file system: looking often does as well.
      pollMs = quickPollMs;
    }
    this.#startPoll(pollMs);
  }

  /** Stops. */
  stop(): void {
    this.#watch?.close();
    this.#watch = undefined;
    clearInterval(this.#poll);
    this.#poll = undefined;
    clearTimeout(this.#look);
    this.#look = undefined;
  }

  #startPoll(pollMs: number): void {
    this.#poll = setInterval(() => {
      const offset = this.#offset();
      const wasSet = Math.abs(offset - this.#clock) > clockToleranceMs;
      this.#clock = offset;
      if (!this.#check() && wasSet) this.#options.changed();
    }, pollMs);
    this.#poll.unref();
  }

  #pollOnly(): void {
    if (this.#watch === undefined) return;
    this.#watch.close();
    this.#watch = undefined;
    clearInterval(this.#poll);
    this.#startPoll(quickPollMs);
  }

  #offset(): number {
    return this.#options.now() - performance.now();
  }

  #reported(): void {
    if (this.#check()) return;
    // A report that comes meanwhile starts the looks again; their timer runs already.
    this.#looks = 0;
    if (this.#look === undefined) this.#lookLater();
  }

  #lookLater(): void {
    const delay = looks[this.#looks++];
    if (delay === undefined) return;
    this.#look = setTimeout(() => {
      this.#look = undefined;
      if (!this.#check()) this.#lookLater();
    }, delay);
    this.#look.unref();
  }

  #check(): boolean {
    const version = this.#options.version();
    if (version === this.#version) return false;
    this.#version = version;
    this.#options.changed();
    return true;
  }
}
