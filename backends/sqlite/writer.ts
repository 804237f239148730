/**
 * The one way in which this process writes: jobs that are handed in within one macrotask share one transaction, so that a thousand
 * publishes and settlements cost one commit.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { MessageQueueError } from "../../core/errors.ts";
import type { Connection } from "./connection.ts";
import { isBusy, storageError } from "./errors.ts";

/** What a job returns to be called again, in the same transaction, after the event loop had its turn. */
export const again: unique symbol = Symbol("again");

/** A part of a transaction. */
export interface Job<T> {
  /** What it does, for errors, as in `publish to`. */
  readonly action: string;
  /** About how many rows it writes; bounds how much one transaction holds, and so how long it blocks. */
  readonly size: number;
  /** Whether it waits for nobody that might share its transaction: a lease that is to be extended may be about to end. */
  readonly urgent?: boolean;
  /**
   * Does it; may run more than once, as a transaction that fails is rolled back and its jobs are tried one by one. A
   * `MessageQueueError` is thrown before the first write of the job only, as the other jobs are committed nevertheless; unless the job's
   * `size` is above {@linkcode maxSize}, which gives it a transaction of its own.
   *
   * @param step From 0, one more each time it returned {@linkcode again}.
   */
  run(step: number): T | typeof again;
  /** Called after the commit. */
  committed?(value: T): void;
  /** When it is aborted before the job has begun, the job is dropped and rejects with the reason. */
  readonly signal?: AbortSignal | undefined;
}

/** How much one job does at most. */
export const maxSize = 512;

// A transaction takes jobs until their sizes add up to this: some 2 ms of work. Enough for what a busy queue hands in at once: a batch that is
// published, the one before it claimed, the one before that acked.
const transactionSize = 2 * maxSize;

/** Lets the event loop have its turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

type Outcome = { readonly value: unknown } | { readonly error: unknown };

interface Pending {
  readonly job: Job<unknown>;
  readonly since: number;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  outcome: Outcome | undefined;
}

/** Runs jobs in transactions, in the order in which they came. */
export class Writer {
  readonly #connection: Connection;
  readonly #lockTimeoutMs: number;
  #queue: Pending[] = [];
  #running: Promise<void> | undefined;
  #commits = 0;

  constructor(connection: Connection, lockTimeoutMs: number) {
    this.#connection = connection;
    this.#lockTimeoutMs = lockTimeoutMs;
  }

  /** How many transactions it has committed. */
  get commits(): number {
    return this.#commits;
  }

  /**
   * Hands in a job.
   *
   * @returns What `run` returned, once it is committed.
   * @throws {MessageQueueError} What the job threw; `storage`; `connection` when another process held the lock for too long.
   */
  submit<T>(job: Job<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ job, since: performance.now(), resolve, reject, outcome: undefined });
      this.#running ??= this.#drain(job.urgent === true);
    });
  }

  /** Resolves when nothing is left to do. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #drain(urgent: boolean): Promise<void> {
    // The caller has yet to keep the promise of this call.
    if (urgent) await undefined;
    for (let turn = urgent; this.#queue.length > 0; turn = false) {
      // A macrotask, not a microtask: whatever else is handed in by then shares the transaction.
      if (!turn) await nextTurn();
      await this.#transact(this.#take());
    }
    this.#running = undefined;
  }

  #take(): Pending[] {
    let size = 0;
    let count = 0;
    for (const { job } of this.#queue) {
      size += job.size;
      if (count > 0 && size > transactionSize) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #transact(batch: Pending[]): Promise<void> {
    const jobs = await this.#begin(batch);
    if (jobs.length === 0) return;
    try {
      for (const pending of jobs) pending.outcome = await this.#run(pending, jobs.length === 1);
      this.#connection.run("commit");
      this.#commits++;
    } catch (error) {
      if (this.#connection.inTransaction) this.#connection.run("rollback");
      const only = jobs.length === 1 ? jobs[0] : undefined;
      if (only !== undefined) only.reject(storageError(only.job.action, this.#connection.path, error));
      // One of them failed, and took the others' work with it.
      else for (const pending of jobs) await this.#transact([pending]);
      return;
    }
    for (const { job, outcome, resolve, reject } of jobs) {
      if (outcome === undefined) continue;
      if ("error" in outcome) {
        reject(outcome.error);
      } else {
        job.committed?.(outcome.value);
        resolve(outcome.value as never);
      }
    }
  }

  async #run({ job }: Pending, alone: boolean): Promise<Outcome> {
    try {
      let value = job.run(0);
      for (let step = 1; value === again; step++) {
        await nextTurn();
        value = job.run(step);
      }
      return { value };
    } catch (error) {
      if (alone || !(error instanceof MessageQueueError)) throw error;
      return { error };
    }
  }

  // `begin immediate` never waits inside SQLite, which would stop the event loop; it is tried again from a timer.
  async #begin(batch: Pending[]): Promise<Pending[]> {
    let jobs = batch;
    for (let attempt = 0;; attempt++) {
      jobs = jobs.filter(({ job: { signal }, reject }) => {
        if (signal?.aborted) reject(signal.reason);
        return !signal?.aborted;
      });
      if (jobs.length === 0) return jobs;
      try {
        this.#connection.run("begin immediate");
        return jobs;
      } catch (error) {
        const now = performance.now();
        const giveUp = (since: number) => !isBusy(error) || now - since >= this.#lockTimeoutMs;
        jobs = jobs.filter(({ job, since, reject }) => {
          if (!giveUp(since)) return true;
          reject(storageError(job.action, this.#connection.path, error));
          return false;
        });
      }
      // Others' transactions are short: look again at once a few times, then ever less often, never in step with another process.
      if (attempt < 4) await nextTurn();
      else await sleep(1 + Math.random() * Math.min(attempt, 10));
    }
  }
}
