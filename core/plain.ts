/**
 * What a backend of three methods gets: the receiver that it lacks, made from its `consume`.
 *
 * Its `consume` yields bare payloads and asking for the next one acks the last, so a message is settled by asking for the next, is
 * retried in place, and goes to a queue of dead letters that the application names.
 *
 * @module
 */

import {
  type Claim,
  defaultMaxAttempts,
  type MessageQueueBackend,
  type PullOptions,
  type ReceiveOptions,
  type Receiver,
  type Settlement,
} from "./backend.ts";
import { bodyText } from "./carrier.ts";
import { jsonCodec, type Payload } from "./codec.ts";
import { describeError, MessageQueueError, type PublishFailure, PublishManyError } from "./errors.ts";
import { contentTypeHeader, type Headers, keyHeader, noHeaders } from "./message.ts";
import type { Publishes } from "./options.ts";
import type { OutgoingPlain } from "./outbox.ts";
import { onAbort, pause, settledWithin } from "./signals.ts";

/** A message that a backend of three methods gave up on. */
export interface PlainDeadLetter {
  readonly group: string;
  readonly payload: Payload;
  readonly headers: Headers;
  readonly reason: string;
  readonly error: string | undefined;
  readonly attempts: number;
}

/** Takes dead letters; absent when the application named no queue for them. */
export type BuryPlain = ((deadLetter: PlainDeadLetter) => Promise<void>) | undefined;

// The envelope: an object with exactly these members. A payload that happens to look like one is put into one.
const mark = "abe-mq:envelope";

interface Envelope {
  readonly [mark]: 1;
  readonly headers: Headers;
  readonly payload: Payload;
}

function isEnvelope(payload: Payload): payload is Envelope {
  return mark in payload && "headers" in payload && "payload" in payload && Object.keys(payload).length === 3;
}

/**
 * Puts headers around a payload, when there are any.
 *
 * @param payload The payload.
 * @param headers The headers.
 * @returns What the backend's `publish` is given.
 */
export function wrapPlain(payload: Payload, headers: Headers): Payload {
  if (Object.keys(headers).length === 0 && !isEnvelope(payload)) return payload;
  return { [mark]: 1, headers, payload } satisfies Envelope;
}

/**
 * Publishes messages by a backend's `publish`, one by one.
 *
 * @param backend The backend.
 * @param messages What to publish.
 * @param signal Ends the call.
 * @throws {PublishManyError} When some were not stored.
 */
export async function sendPlain(
  backend: MessageQueueBackend,
  messages: readonly OutgoingPlain[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const failures: PublishFailure[] = [];
  for (const [index, message] of messages.entries()) {
    const payload = message.payload ?? jsonCodec.decode(bodyText(message.body));
    try {
      await backend.publish(message.key, wrapPlain(payload, message.headers), signal && { signal });
    } catch (error) {
      if (messages.length === 1) throw error;
      failures.push({ index, error });
    }
  }
  if (failures.length > 0) throw new PublishManyError(messages.length, failures);
}

/**
 * Opens what stands in for a receiver.
 *
 * @param backend The backend.
 * @param options Group, filter and prefetch.
 * @param deadLetters Takes what failed for good, if there is such a queue.
 * @returns The receiver.
 */
export function openPlain(
  backend: MessageQueueBackend,
  options: ReceiveOptions & { readonly prefetch: number },
  deadLetters: Publishes | undefined,
): Receiver {
  const most = backend.capabilities?.groups ? options.prefetch : 1;
  return new PlainReceiver(backend, options, most, buryIn(deadLetters));
}

function buryIn(queue: Publishes | undefined): BuryPlain {
  if (queue === undefined) return undefined;
  return async ({ group, payload, headers, reason, error, attempts }) => {
    const { [contentTypeHeader]: contentType, ...rest } = headers;
    await queue.publish(`dead.${group}`, payload, {
      headers: {
        ...rest,
        // The payload is then the carrier, as it came: the other queue has codecs of its own.
        ...(contentType !== undefined && { "abe-mq-carried-type": contentType }),
        "abe-mq-group": group,
        "abe-mq-reason": reason,
        "abe-mq-attempts": String(attempts),
        ...(error !== undefined && { "abe-mq-error": error }),
      },
    });
  };
}

interface PlainClaim extends Claim {
  readonly payload: Payload;
  readonly lane: Lane;
}

// A generator that ignores its signal cannot be ended; a close waits no longer than this for it.
const endPatienceMs = 5_000;

/** One iteration of the backend's `consume`, and the message that it gave last. */
class Lane {
  readonly #start: () => AsyncIterator<Payload>;
  #iterator: AsyncIterator<Payload> | undefined;
  /** The `next()` under way. */
  pending: Promise<void> | undefined;
  /** What came and was not yet claimed. */
  arrived: IteratorResult<Payload> | undefined;
  failure: { readonly error: unknown } | undefined;
  /** The claim that is out, or waits for its next attempt. */
  claim: PlainClaim | undefined;
  retryAt: number | undefined;
  /** Whether what it gave last is done with, and nobody asked for the next yet. */
  isAcked = false;

  constructor(start: () => AsyncIterator<Payload>) {
    this.#start = start;
  }

  /** Asks for the next message, which acks the last. */
  ask(): Promise<void> {
    // Cleared from outside: what fails before its first wait has ended before it could be noted as pending.
    this.pending ??= this.#ask().then(() => {
      this.pending = undefined;
    });
    return this.pending;
  }

  async #ask(): Promise<void> {
    this.isAcked = false;
    try {
      this.#iterator ??= this.#start();
      this.arrived = await this.#iterator.next();
      if (this.arrived.done) this.#iterator = undefined;
    } catch (error) {
      this.failure = { error };
      this.#iterator = undefined;
    }
  }

  /** Releases what it gave last, unless that was acked. */
  async end(): Promise<void> {
    await this.pending;
    // Asking for the next is what acks; the signal is aborted by now, so that the iteration ends there.
    if (this.isAcked) await this.ask();
    await this.#iterator?.return?.();
  }
}

/** A {@linkcode Receiver} over a backend's `consume`. */
export class PlainReceiver implements Receiver {
  readonly #backend: MessageQueueBackend;
  readonly #options: ReceiveOptions;
  readonly #most: number;
  readonly #bury: BuryPlain;
  readonly #abort = new AbortController();
  readonly #lanes: Lane[] = [];
  /** Ends the wait of a pull when a settlement has changed what there is to give. */
  #wake = new AbortController();

  /**
   * Iterates nothing yet: that begins with the first pull.
   *
   * @param backend The backend.
   * @param options Group and filter.
   * @param most How many iterations may run at once. More than one is only safe where the backend knows groups.
   * @param bury Takes what failed for good.
   */
  constructor(backend: MessageQueueBackend, options: ReceiveOptions, most: number, bury: BuryPlain) {
    this.#backend = backend;
    this.#options = options;
    this.#most = most;
    this.#bury = bury;
  }

  async pull({ max, signal }: PullOptions): Promise<readonly Claim[]> {
    while (!signal.aborted && !this.#abort.signal.aborted) {
      const free = this.#lanes.filter((lane) => lane.claim === undefined);
      const retry = this.#due();
      if (retry !== undefined) return [retry];
      // A lane whose ack is on its way counts as taken, and its settlement ends the wait below.
      while (free.length < max && this.#lanes.length < this.#most) {
        const lane = new Lane(() => this.#iterate());
        this.#lanes.push(lane);
        free.push(lane);
      }
      const claims = this.#collect(free);
      if (claims.length > 0) return claims;
      await this.#wait(free, signal);
    }
    return [];
  }

  #iterate(): AsyncIterator<Payload> {
    const { groups = false, keys = false } = this.#backend.capabilities ?? {};
    return this.#backend.consume({
      ...(groups && { group: this.#options.group }),
      ...(keys && this.#options.keys !== undefined && { keys: this.#options.keys }),
      signal: this.#abort.signal,
    })[Symbol.asyncIterator]();
  }

  #due(): PlainClaim | undefined {
    const now = Date.now();
    for (const lane of this.#lanes) {
      if (lane.claim === undefined || lane.retryAt === undefined || lane.retryAt > now) continue;
      lane.retryAt = undefined;
      lane.claim = { ...lane.claim, attempt: lane.claim.attempt + 1 };
      return lane.claim;
    }
    return undefined;
  }

  #collect(lanes: readonly Lane[]): Claim[] {
    const claims: Claim[] = [];
    for (const lane of lanes) {
      const { arrived, failure } = lane;
      const ended = failure !== undefined || arrived?.done === true;
      // An end is told by the next pull, when this one has something to give.
      if (ended && claims.length > 0) continue;
      lane.arrived = undefined;
      lane.failure = undefined;
      if (failure !== undefined) throw asConnectionError(failure.error);
      if (arrived === undefined) continue;
      if (arrived.done) {
        throw new MessageQueueError("connection", "The backend's consume() ended by itself", { retryable: true });
      }
      lane.claim = this.#claim(lane, arrived.value);
      claims.push(lane.claim);
    }
    return claims;
  }

  #claim(lane: Lane, value: Payload): PlainClaim {
    const wrapped = isEnvelope(value);
    const headers = wrapped ? value.headers : noHeaders;
    return {
      id: crypto.randomUUID(),
      key: headers[keyHeader] ?? "",
      body: "",
      headers,
      payload: wrapped ? value.payload : value,
      publishedAt: Date.now(),
      attempt: 1,
      lane,
    };
  }

  async #wait(lanes: readonly Lane[], signal: AbortSignal): Promise<void> {
    const wake = this.#wake = new AbortController();
    const forget = [onAbort(signal, () => wake.abort()), onAbort(this.#abort.signal, () => wake.abort())];
    const nextRetry = Math.min(...this.#lanes.map((lane) => lane.retryAt ?? Infinity));
    const waits: Promise<unknown>[] = lanes.map((lane) => lane.ask());
    waits.push(pause(Math.min(2 ** 31 - 1, Math.max(0, nextRetry - Date.now())), wake.signal));
    await Promise.race(waits);
    wake.abort();
    for (const each of forget) each();
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly boolean[]> {
    const held: boolean[] = [];
    try {
      for (const settlement of settlements) held.push(await this.#settle(settlement));
    } finally {
      this.#wake.abort();
    }
    return held;
  }

  async #settle(settlement: Settlement): Promise<boolean> {
    const lane = this.#lanes.find((each) => each.claim === settlement.claim);
    const claim = lane?.claim;
    if (lane === undefined || claim === undefined) return false;
    if (settlement.verb === "nack") {
      if (claim.attempt < defaultMaxAttempts) {
        lane.retryAt = Date.now() + settlement.delayMs;
        return true;
      }
      await this.#buryClaim(lane, claim, "exhausted", settlement.error);
    } else if (settlement.verb === "reject") {
      await this.#buryClaim(lane, claim, settlement.reason, settlement.error);
    } else if (settlement.verb === "release") {
      // Kept as the last one given, so that ending the iteration releases it.
      this.#lanes.splice(this.#lanes.indexOf(lane), 1);
      await settledWithin(lane.end(), endPatienceMs);
      return true;
    }
    lane.claim = undefined;
    lane.isAcked = true;
    return true;
  }

  async #buryClaim(lane: Lane, claim: PlainClaim, reason: string, error: string | undefined): Promise<void> {
    // Until it is buried it is not done: when that fails it comes again.
    lane.retryAt = Date.now();
    if (this.#bury === undefined) {
      const why = error === undefined ? reason : `${reason}: ${error}`;
      throw new MessageQueueError(
        "exhausted",
        `A message failed for good (${why}) and there is no place for it: this backend has no dead letters, name a queue for them by the option deadLetters`,
      );
    }
    const { payload, headers, attempt: attempts } = claim;
    await this.#bury({ group: this.#options.group, payload, headers, reason, error, attempts });
    lane.retryAt = undefined;
  }

  extend(): Promise<readonly boolean[]> {
    return Promise.reject(new MessageQueueError("unsupported", "Cannot extend: this backend has no leases"));
  }

  async close(): Promise<void> {
    this.#abort.abort();
    const ends = Promise.all(this.#lanes.splice(0).map((lane) => lane.end()));
    if (await settledWithin(ends, endPatienceMs)) await ends;
    else throw new MessageQueueError("timeout", "The backend's consume() does not heed its signal");
  }
}

// A plugin's author throws what the client library threw. What is no programming error is taken for a lost connection, because a
// consumer must never end in silence.
function asConnectionError(error: unknown): unknown {
  if (error instanceof MessageQueueError) return error;
  const isBug = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError ||
    error instanceof SyntaxError;
  if (isBug) return error;
  return new MessageQueueError("connection", `The backend's consume() failed: ${describeError(error)}`, {
    cause: error,
    retryable: true,
  });
}
