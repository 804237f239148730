/**
 * Publishing: tried again while the broker is away, until a signal or a deadline.
 *
 * @module
 */

import type { Backoff } from "./backoff.ts";
import { describeError, isRetryable, MessageQueueError, type PublishFailure, PublishManyError } from "./errors.ts";
import type { Message } from "./message.ts";
import { onAbort, pause } from "./signals.ts";

/** Stores messages, or rejects; `PublishManyError` when some were stored. */
export type Send = (messages: readonly Message[], signal: AbortSignal | undefined) => Promise<void>;

/** Where a {@linkcode Publisher} gets what it needs. */
export interface PublisherOptions {
  readonly send: Send;
  readonly backoff: Backoff;
  /** Told when the broker is away, with the error, and when it is back, without. */
  report(error?: unknown): void;
}

/** Until when a publish is tried. */
export interface PublishLimits {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
}

// Deadlines are looked at this often, all by one timer: a timer for each message would cost more than the message.
const sweepMs = 250;

/** One call of `publish`, until its promise settles. */
class Publication {
  readonly messages: readonly Message[];
  readonly limits: PublishLimits;
  readonly deadline: number;
  /** Settles the caller's promise and forgets the call. */
  readonly settle: (error?: { readonly error: unknown }) => void;
  /** What will not be stored whatever is tried. */
  readonly failures: PublishFailure[] = [];
  lastError: unknown;
  isSettled = false;
  /** Made by the first retry; aborted when nobody waits any more. */
  retry: AbortController | undefined;

  constructor(
    messages: readonly Message[],
    limits: PublishLimits,
    settle: (publication: Publication, error?: { readonly error: unknown }) => void,
  ) {
    this.messages = messages;
    this.limits = limits;
    this.deadline = Date.now() + limits.timeoutMs;
    this.settle = (error) => settle(this, error);
  }
}

/** Sends messages and tries again what may work later. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #pending = new Set<Publication>();
  readonly #closing = new AbortController();
  #sweeper: ReturnType<typeof setTimeout> | undefined;
  #idle: (() => void) | undefined;
  #troubled = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /**
   * Stores messages.
   *
   * @throws {MessageQueueError} `publish_timeout` when the broker was away for too long, with the last error as its cause; what the backend
   *   throws when trying again is no use.
   */
  publish(messages: readonly Message[], limits: PublishLimits): Promise<void> {
    return new Promise((resolve, reject) => {
      let forget: (() => void) | undefined;
      const publication = new Publication(messages, limits, (self, failed) => {
        if (self.isSettled) return;
        self.isSettled = true;
        forget?.();
        self.retry?.abort();
        this.#forget(self);
        if (failed === undefined) resolve();
        else reject(failed.error);
      });
      this.#pending.add(publication);
      this.#armSweeper();
      if (limits.signal !== undefined) {
        forget = onAbort(limits.signal, () => publication.settle({ error: limits.signal?.reason }));
      }
      this.#options.send(messages, limits.signal).then(
        () => {
          if (this.#troubled) this.#report();
          publication.settle();
        },
        (error) => void this.#retry(publication, error),
      );
    });
  }

  /** Waits for what is under way; from now on a broker that is away is not waited for. */
  async close(): Promise<void> {
    this.#closing.abort();
    if (this.#pending.size > 0) await new Promise<void>((resolve) => this.#idle = resolve);
    clearTimeout(this.#sweeper);
  }

  // Never rejects: every outcome settles the publication.
  async #retry(publication: Publication, firstError: unknown): Promise<void> {
    const { messages, limits } = publication;
    const stop = publication.retry = new AbortController();
    // Where each message that is left stands in the batch that was asked for.
    let places = messages.map((_, index) => index);
    let error = firstError;
    for (let attempt = 1;; attempt++) {
      publication.lastError = error;
      const failures = failuresOf(error, places);
      const again = failures.filter((failure) => isRetryable(failure.error));
      const giveUp = this.#closing.signal.aborted || again.length === 0;
      publication.failures.push(...giveUp ? failures : failures.filter((failure) => !isRetryable(failure.error)));
      if (giveUp) break;
      this.#report(error);
      places = again.map((failure) => failure.index);
      await pause(this.#options.backoff(attempt), AbortSignal.any([stop.signal, this.#closing.signal]));
      if (publication.isSettled) return;
      try {
        await this.#options.send(places.flatMap((place) => messages[place] ?? []), limits.signal);
        this.#report();
        break;
      } catch (sendError) {
        error = sendError;
      }
    }
    publication.settle(conclusion(publication, error));
  }

  #report(error?: unknown): void {
    if (error === undefined && !this.#troubled) return;
    this.#troubled = error !== undefined;
    this.#options.report(error);
  }

  #forget(publication: Publication): void {
    this.#pending.delete(publication);
    if (this.#pending.size === 0) this.#idle?.();
  }

  #armSweeper(): void {
    this.#sweeper ??= setTimeout(() => {
      this.#sweeper = undefined;
      const now = Date.now();
      for (const publication of this.#pending) {
        if (publication.deadline <= now) publication.settle({ error: timedOut(publication) });
      }
      if (this.#pending.size > 0) this.#armSweeper();
    }, sweepMs);
  }
}

/** An error by message: one that is not by message befell them all. */
function failuresOf(error: unknown, places: readonly number[]): PublishFailure[] {
  if (!(error instanceof PublishManyError)) return places.map((index) => ({ index, error }));
  return error.failures.map((failure) => ({ index: places[failure.index] ?? failure.index, error: failure.error }));
}

function conclusion({ failures, messages }: Publication, error: unknown): { readonly error: unknown } | undefined {
  if (failures.length === 0) return undefined;
  // What befell all messages alike is told as it is.
  if (failures.length === messages.length && failures.every((failure) => failure.error === error)) return { error };
  return { error: new PublishManyError(messages.length, failures.toSorted((a, b) => a.index - b.index)) };
}

function timedOut({ limits, lastError }: Publication): MessageQueueError {
  const why = lastError === undefined ? "the broker did not answer" : describeError(lastError);
  return new MessageQueueError(
    "publish_timeout",
    `Cannot publish in ${limits.timeoutMs} ms (${why}); whether it was stored is unknown`,
    { cause: lastError },
  );
}
