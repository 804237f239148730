/**
 * How this process learns that another one has written to the file.
 *
 * Every write touches the write-ahead log, which the file system reports; `data_version` then tells whether another connection has
 * committed. The report comes with the write, a moment before the commit can be seen, so a second look follows, and a slow poll catches
 * what the file system does not tell (network folders, containers). A process that writes much itself would hear of little but its own
 * writes: while it does, it looks often instead.
 *
 * @module
 */

import { type FSWatcher, watch } from "node:fs";
import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";

// Milliseconds after a report at which to look again: most commits can be seen within one, a large one later.
const looks = [1, 4, 15];

const slowPollMs = 200;

// Without reports from the file system, what a consumer waits at most; a look costs some 3 µs.
const quickPollMs = 4;

// Own commits within a slow poll above which looking often costs less than hearing of each of their writes.
const busyCommits = 100;

// The slow poll also notices a clock that was set, by comparing it with one that cannot be.
const clockToleranceMs = 50;

/** What a watcher is given. */
export interface WatcherOptions {
  /** The file. */
  readonly path: string;
  /** Reads `data_version`. */
  readonly version: () => number;
  /** How many commits this connection has made. */
  readonly commits: () => number;
  /** Called when another connection has committed, or the clock was set. */
  readonly changed: () => void;
  /** The clock. */
  readonly now: () => number;
}

/** Watches from `start` to `stop`. Keeps no process alive. */
export class Watcher {
  readonly #options: WatcherOptions;
  #watch: FSWatcher | undefined;
  #quick: ReturnType<typeof setInterval> | undefined;
  #slow: ReturnType<typeof setInterval> | undefined;
  #look: ReturnType<typeof setTimeout> | undefined;
  #looks = 0;
  #reportedAgain = false;
  #version = 0;
  #commits = 0;
  #clock = 0;

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  /** Starts. */
  start(): void {
    if (this.#slow !== undefined) return;
    this.#version = this.#options.version();
    this.#commits = this.#options.commits();
    this.#clock = this.#offset();
    this.#slow = setInterval(() => this.#tick(), slowPollMs);
    this.#slow.unref();
    this.#listen();
  }

  /** Stops. */
  stop(): void {
    clearInterval(this.#slow);
    this.#slow = undefined;
    this.#deafen();
    clearInterval(this.#quick);
    this.#quick = undefined;
  }

  #tick(): void {
    const offset = this.#offset();
    const wasSet = Math.abs(offset - this.#clock) > clockToleranceMs;
    this.#clock = offset;
    const commits = this.#options.commits();
    const busy = commits - this.#commits > busyCommits;
    this.#commits = commits;
    if (!this.#check() && wasSet) this.#options.changed();
    if (busy && this.#watch !== undefined) this.#lookOften();
    else if (!busy && this.#watch === undefined) this.#listen();
  }

  #listen(): void {
    try {
      // The write-ahead log alone, never the folder: Deno opens and closes each file that a report names, and closing a descriptor of
      // the database or its `-shm` drops every lock that this process holds on it, so that two processes write at once and the file is
      // lost. On the log, SQLite holds no locks; it stays the same file as long as anybody has the database open.
      const watcher = watch(`${this.#options.path}-wal`, { persistent: false }, () => this.#reported());
      watcher.on("error", () => this.#lookOften());
      watcher.unref();
      this.#watch = watcher;
      clearInterval(this.#quick);
      this.#quick = undefined;
    } catch {
      // No watches left, or none on this file system: looking often does as well.
      this.#lookOften();
    }
  }

  #lookOften(): void {
    this.#deafen();
    if (this.#quick !== undefined || this.#slow === undefined) return;
    this.#quick = setInterval(() => this.#check(), quickPollMs);
    this.#quick.unref();
  }

  #deafen(): void {
    this.#watch?.close();
    this.#watch = undefined;
    clearTimeout(this.#look);
    this.#look = undefined;
  }

  #offset(): number {
    return this.#options.now() - performance.now();
  }

  #reported(): void {
    // A commit is reported several times; one look soon is enough for all of them.
    if (this.#look !== undefined && this.#looks === 1) {
      this.#reportedAgain = true;
      return;
    }
    this.#check();
    // From the first again: the last look of an earlier report may be far off.
    clearTimeout(this.#look);
    this.#looks = 0;
    this.#lookLater();
  }

  #lookLater(): void {
    const delay = looks[this.#looks++];
    if (delay === undefined) return;
    this.#look = setTimeout(() => {
      this.#look = undefined;
      const changed = this.#check();
      if (this.#reportedAgain) this.#looks = 0;
      if (this.#reportedAgain || !changed) this.#lookLater();
      this.#reportedAgain = false;
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
