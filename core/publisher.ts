/**
 * Publishing: tried again while the broker is away, until a signal or a deadline.
 *
 * @module
 */

import type { Backoff } from "./backoff.ts";
import { describeError, isRetryable, MessageQueueError, type PublishFailure, PublishManyError } from "./errors.ts";
import { type Linked, LinkedList } from "./linked.ts";
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

/**
 * What a backend may return from `publishMany` when the messages are stored by then: there is nothing to wait for, and a promise for each
 * message would cost more than the message.
 */
export const storedAtOnce: Promise<void> = Promise.resolve();

// Deadlines are looked at this often, all by one timer: a timer for each message would cost more than the message.
const sweepMs = 250;

/** One call of `publish`, until its promise settles. */
class Publication implements Linked<Publication> {
  readonly messages: readonly Message[];
  readonly limits: PublishLimits;
  /** What the caller's promise resolves with. */
  readonly value: unknown;
  readonly deadline: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  before: Publication | undefined = undefined;
  after: Publication | undefined = undefined;
  isLinked = false;
  lastError: unknown = undefined;
  /** Takes the listener off the caller's signal. */
  forget: (() => void) | undefined = undefined;
  /** Made by the first retry; aborted when nobody waits any more. */
  retry: AbortController | undefined = undefined;

  constructor(
    messages: readonly Message[],
    limits: PublishLimits,
    value: unknown,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ) {
    this.messages = messages;
    this.limits = limits;
    this.value = value;
    this.deadline = Date.now() + limits.timeoutMs;
    this.resolve = resolve;
    this.reject = reject;
  }
}

/** Sends messages and tries again what may work later. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #closing = new AbortController();
  readonly #pending = new LinkedList<Publication>();
  #sweeper: ReturnType<typeof setTimeout> | undefined;
  #idle: (() => void) | undefined;
  #troubled = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /**
   * Stores messages.
   *
   * @param messages What to store.
   * @param limits When to give up.
   * @param value What to resolve with.
   * @throws {MessageQueueError} `publish_timeout` when the broker was away for too long, with the last error as its cause; what the backend
   *   throws when trying again is no use.
   */
  publish<T>(messages: readonly Message[], limits: PublishLimits, value: T): Promise<T> {
    const sent = this.#options.send(messages, limits.signal);
    return sent === storedAtOnce ? Promise.resolve(value) : this.#supervise(sent, messages, limits, value);
  }

  #supervise<T>(sent: Promise<void>, messages: readonly Message[], limits: PublishLimits, value: T): Promise<T> {
    return new Promise((resolve, reject) => {
      const publication = new Publication(messages, limits, value, resolve as (value: unknown) => void, reject);
      this.#pending.add(publication);
      if (this.#sweeper === undefined) this.#armSweeper();
      const { signal } = limits;
      if (signal !== undefined) {
        publication.forget = onAbort(signal, () => this.#settle(publication, { error: signal.reason }));
      }
      sent.then(
        () => {
          if (this.#troubled) this.#report();
          this.#settle(publication);
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
    // What will not be stored whatever is tried.
    const lost: PublishFailure[] = [];
    // Where each message that is left stands in the batch that was asked for.
    let places = messages.map((_, index) => index);
    let error = firstError;
    for (let attempt = 1;; attempt++) {
      publication.lastError = error;
      const failures = failuresOf(error, places);
      const again = failures.filter((failure) => isRetryable(failure.error));
      const giveUp = this.#closing.signal.aborted || again.length === 0;
      lost.push(...giveUp ? failures : failures.filter((failure) => !isRetryable(failure.error)));
      if (giveUp) break;
      this.#report(error);
      places = again.map((failure) => failure.index);
      await pause(this.#options.backoff(attempt), AbortSignal.any([stop.signal, this.#closing.signal]));
      if (!publication.isLinked) return;
      try {
        await this.#options.send(places.flatMap((place) => messages[place] ?? []), limits.signal);
        this.#report();
        break;
      } catch (sendError) {
        error = sendError;
      }
    }
    this.#settle(publication, conclusion(messages, lost, error));
  }

  #report(error?: unknown): void {
    if (error === undefined && !this.#troubled) return;
    this.#troubled = error !== undefined;
    this.#options.report(error);
  }

  /** Settles the caller's promise and forgets the call; only the first outcome counts. */
  #settle(publication: Publication, failed?: { readonly error: unknown }): void {
    if (!publication.isLinked) return;
    this.#pending.remove(publication);
    publication.forget?.();
    publication.retry?.abort();
    if (this.#pending.size === 0) this.#idle?.();
    if (failed === undefined) publication.resolve(publication.value);
    else publication.reject(failed.error);
  }

  #armSweeper(): void {
    this.#sweeper = setTimeout(() => {
      this.#sweeper = undefined;
      const now = Date.now();
      for (const each of this.#pending.items()) {
        if (each.deadline <= now) this.#settle(each, { error: timedOut(each) });
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

function conclusion(
  messages: readonly Message[],
  failures: readonly PublishFailure[],
  error: unknown,
): { readonly error: unknown } | undefined {
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
