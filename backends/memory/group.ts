/**
 * One group: a cursor over the log, and what is out or waits to come again.
 *
 * @module
 */

import {
  type Claim,
  defaultMaxAttempts,
  type Group,
  type GroupOptions,
  type GroupStats,
  type Settlement,
} from "../../core/backend.ts";
import { MessageQueueError } from "../../core/errors.ts";
import { compileFilter, everyKey, type KeyMatcher } from "../../core/keys.ts";
import { type Linked, LinkedList } from "../../core/linked.ts";
import { DeadLetterList } from "./dead.ts";
import { Alarm, DueHeap } from "./due.ts";
import type { Entry, Shared } from "./entry.ts";
import { Fifo } from "./fifo.ts";

/** A message that this group has seen before, or that waits for its turn. */
export interface Waiting {
  readonly entry: Entry;
  /** Attempts made. */
  readonly attempts: number;
  readonly error?: string | undefined;
}

/** A message that a receiver holds. */
export interface MemoryClaim extends Claim, Linked<MemoryClaim> {
  readonly entry: Entry;
  readonly holder: object;
  readonly lastError: string | undefined;
  leaseEndsAt: number;
}

/** A receiver that waits for messages. */
export interface Puller {
  readonly holder: object;
  readonly max: number;
  readonly leaseMs: number;
  give(claims: readonly MemoryClaim[]): void;
  fail(error: unknown): void;
}

/** The messages of one group. */
export class MemoryGroup {
  readonly name: string;
  /** Where it reads on in the log. */
  cursor: number;
  readonly consumers = new Set<object>();
  readonly pullers = new Set<Puller>();
  readonly #log: Shared;
  #keys: string = everyKey;
  #matches: KeyMatcher = () => true;
  #maxAttempts: number = defaultMaxAttempts;
  #expiresMs: number | undefined;
  readonly #claims = new LinkedList<MemoryClaim>();
  /** Never delivered, but behind the cursor: given back, freed by their ordering key, or older than the group. By position. */
  readonly #returned: Fifo<Waiting> = new Fifo();
  /** Delivered before and due, first come first served. */
  readonly #retries: Fifo<Waiting> = new Fifo();
  readonly #delayed: DueHeap<Waiting>;
  /** Ordering keys with a message that is out or waits, and what waits behind it. */
  readonly #ordered = new Map<string, Fifo<Entry>>();
  /** What it gave up on. */
  readonly dead: DeadLetterList = new DeadLetterList();
  readonly #leaseAlarm: Alarm;
  readonly #delayAlarm: Alarm;
  readonly #expiryAlarm: Alarm;
  #wakePending = false;

  constructor(name: string, log: Shared, options: GroupOptions) {
    this.name = name;
    this.#log = log;
    this.cursor = options.from === "latest" ? log.end : log.start;
    this.#delayed = new DueHeap();
    this.#leaseAlarm = new Alarm(log.clock, () => this.#expireLeases());
    this.#delayAlarm = new Alarm(log.clock, () => this.#admitDelayed());
    this.#expiryAlarm = new Alarm(log.clock, () => log.dropGroup(this.name));
    if (options.from !== "latest") {
      for (const entry of log.unackedBelow(this.cursor)) this.readmit(entry);
    }
    this.update(options);
  }

  get keys(): string {
    return this.#keys;
  }

  update(options: Omit<GroupOptions, "from">): void {
    if (options.keys !== undefined) {
      this.#matches = compileFilter(options.keys);
      this.#keys = options.keys;
    }
    this.#maxAttempts = options.maxAttempts ?? this.#maxAttempts;
    this.#expiresMs = options.expiresMs ?? this.#expiresMs;
    this.touch();
  }

  describe(): Group {
    const expiresMs = this.#expiresMs;
    return {
      name: this.name,
      keys: this.#keys,
      maxAttempts: this.#maxAttempts,
      ...(expiresMs !== undefined && { expiresMs }),
    };
  }

  /** Sets or clears the time of its expiry, by whether anybody consumes. */
  touch(): void {
    this.#expiryAlarm.clear();
    if (this.#expiresMs !== undefined && this.consumers.size === 0) {
      this.#expiryAlarm.set(this.#log.clock.now() + this.#expiresMs);
    }
  }

  /** Everything behind the cursor that is not acked. */
  *unacked(): Generator<Entry> {
    for (const claim of this.#claims.items()) yield claim.entry;
    for (const { entry } of this.#returned) yield entry;
    for (const { entry } of this.#retries) yield entry;
    for (const { entry } of this.#delayed.values()) yield entry;
    for (const entries of this.#ordered.values()) yield* entries;
  }

  /** Gives waiting receivers what there is, at the end of the tick, so that what was published in one tick is given together. */
  wake(): void {
    if (this.#wakePending || this.pullers.size === 0) return;
    this.#wakePending = true;
    queueMicrotask(() => {
      this.#wakePending = false;
      for (const puller of this.pullers) {
        const claims = this.claim(puller);
        if (claims.length === 0) break;
        this.pullers.delete(puller);
        puller.give(claims);
      }
    });
  }

  /** Claims one message that was delivered before, or up to `max` that were not. */
  claim({ holder, max, leaseMs }: Puller): MemoryClaim[] {
    const leaseEndsAt = this.#log.clock.now() + leaseMs;
    this.#leaseAlarm.set(leaseEndsAt);
    for (let waiting = this.#retries.shift(); waiting !== undefined; waiting = this.#retries.shift()) {
      if (this.#isDue(waiting)) return [this.#hold(waiting, holder, leaseEndsAt)];
    }
    const claims: MemoryClaim[] = [];
    while (claims.length < max && this.#returned.size > 0) {
      const waiting = this.#returned.shift();
      if (waiting !== undefined && this.#isDue(waiting)) claims.push(this.#hold(waiting, holder, leaseEndsAt));
    }
    while (claims.length < max && this.cursor < this.#log.end) {
      const entry = this.#log.at(this.cursor++);
      if (!entry.stored) continue;
      if (!this.#matches(entry.message.key)) {
        this.#log.done(entry);
        continue;
      }
      if (entry.message.orderingKey !== undefined && !this.#takeTurn(entry, entry.message.orderingKey)) continue;
      const waiting = { entry, attempts: 0 };
      if (this.#isDue(waiting)) claims.push(this.#hold(waiting, holder, leaseEndsAt));
    }
    this.#log.trim();
    return claims;
  }

  /** Whether an ordered message may go now; else it waits behind the one before it. */
  #takeTurn(entry: Entry, orderingKey: string): boolean {
    const behind = this.#ordered.get(orderingKey);
    if (behind !== undefined) {
      behind.push(entry);
      return false;
    }
    this.#ordered.set(orderingKey, new Fifo());
    return true;
  }

  /** Whether it may be handed out; what is too old or failed too often becomes a dead letter instead. */
  #isDue(waiting: Waiting): boolean {
    const { maxAgeMs } = this.#log;
    if (maxAgeMs !== undefined && this.#log.clock.now() - waiting.entry.message.publishedAt > maxAgeMs) {
      this.#bury(waiting, "expired");
    } else if (waiting.attempts >= this.#maxAttempts) {
      this.#bury(waiting, "exhausted");
    } else {
      return true;
    }
    return false;
  }

  #hold({ entry, attempts, error }: Waiting, holder: object, leaseEndsAt: number): MemoryClaim {
    const { id, key, body, contentType, headers, publishedAt, orderingKey } = entry.message;
    const made: MemoryClaim = {
      id,
      key,
      // A handler may change bytes that it is given, and the other groups get theirs from here, too.
      body: typeof body === "string" ? body : body.slice(),
      headers,
      publishedAt,
      attempt: attempts + 1,
      entry,
      holder,
      lastError: error,
      leaseEndsAt,
      before: undefined,
      after: undefined,
      isLinked: false,
    };
    const claim = contentType === undefined && orderingKey === undefined ? made : {
      ...made,
      ...(contentType !== undefined && { contentType }),
      ...(orderingKey !== undefined && { orderingKey }),
    };
    this.#claims.add(claim);
    return claim;
  }

  /** Whether a holder still holds a claim. */
  holds(claim: MemoryClaim, holder: object): boolean {
    return claim.holder === holder && claim.isLinked;
  }

  /** Makes a claim's lease end later; says whether it was held. */
  extend(claim: MemoryClaim, holder: object, leaseMs: number): boolean {
    if (!this.holds(claim, holder)) return false;
    claim.leaseEndsAt = this.#log.clock.now() + leaseMs;
    this.#leaseAlarm.set(claim.leaseEndsAt);
    return true;
  }

  /** Settles a claim that is held. */
  settle(settlement: Settlement, claim: MemoryClaim): void {
    this.#claims.remove(claim);
    const { entry, attempt, lastError } = claim;
    if (settlement.verb === "ack") return this.#leave(entry);
    if (settlement.verb === "release") return this.#giveBack({ entry, attempts: attempt - 1, error: lastError });
    const error = settlement.error ?? lastError;
    if (settlement.verb === "reject") return this.#bury({ entry, attempts: attempt, error }, settlement.reason);
    this.#again({ entry, attempts: attempt, error }, settlement.delayMs);
  }

  #giveBack(waiting: Waiting): void {
    if (waiting.attempts > 0) {
      this.#retries.unshift(waiting);
    } else {
      const { position } = waiting.entry;
      this.#returned.insert(waiting, (other) => other.entry.position <= position);
    }
    this.wake();
  }

  #again(waiting: Waiting, delayMs: number): void {
    if (waiting.attempts >= this.#maxAttempts) return this.#bury(waiting, "exhausted");
    if (delayMs > 0) {
      const time = this.#log.clock.now() + delayMs;
      this.#delayed.add(time, waiting);
      this.#delayAlarm.set(time);
    } else {
      this.#retries.push(waiting);
      this.wake();
    }
  }

  #bury({ entry, attempts, error }: Waiting, reason: string): void {
    const { id, key, body, contentType, headers, publishedAt, orderingKey } = entry.message;
    this.dead.add({
      id,
      key,
      body,
      ...(contentType !== undefined && { contentType }),
      headers,
      publishedAt,
      ...(orderingKey !== undefined && { orderingKey }),
      group: this.name,
      reason,
      ...(error !== undefined && { error }),
      attempts,
      deadAt: this.#log.clock.now(),
    });
    this.#leave(entry);
  }

  /** It is done with here; the next with its ordering key may go. */
  #leave(entry: Entry): void {
    this.#log.done(entry);
    const { orderingKey } = entry.message;
    if (orderingKey === undefined) return;
    const next = this.#ordered.get(orderingKey)?.shift();
    if (next === undefined) this.#ordered.delete(orderingKey);
    else this.#giveBack({ entry: next, attempts: 0 });
  }

  #expireLeases(): void {
    const now = this.#log.clock.now();
    let next = Infinity;
    for (const claim of this.#claims.items()) {
      if (claim.leaseEndsAt > now) next = Math.min(next, claim.leaseEndsAt);
      else this.drop(claim);
    }
    if (next < Infinity) this.#leaseAlarm.set(next);
  }

  /** Takes a claim from whoever held it; the attempt counts. */
  drop(claim: MemoryClaim): void {
    this.#claims.remove(claim);
    this.#retries.push({ entry: claim.entry, attempts: claim.attempt, error: claim.lastError });
    this.wake();
  }

  /** A receiver leaves: what it still holds comes again. */
  remove(holder: object): void {
    for (const claim of this.#claims.items()) if (claim.holder === holder) this.drop(claim);
    this.consumers.delete(holder);
    this.touch();
  }

  #admitDelayed(): void {
    const now = this.#log.clock.now();
    for (let waiting = this.#delayed.take(now); waiting !== undefined; waiting = this.#delayed.take(now)) {
      this.#retries.push(waiting);
    }
    if (this.#delayed.size > 0) this.#delayAlarm.set(this.#delayed.earliest);
    this.wake();
  }

  /** Puts dead letters back into this group alone, as new. */
  replay(ids: readonly string[] | undefined): number {
    const letters = this.dead.take(ids);
    for (const { id, key, body, contentType, headers, publishedAt, orderingKey } of letters) {
      const optional = {
        ...(contentType !== undefined && { contentType }),
        ...(orderingKey !== undefined && { orderingKey }),
      };
      // Its age counts from now on, or `maxAgeMs` would bury it again at once.
      const time = this.#log.maxAgeMs === undefined ? publishedAt : this.#log.clock.now();
      this.readmit(this.#log.readmit({ id, key, body, headers, publishedAt: time, deduplicate: false, ...optional }));
    }
    return letters.length;
  }

  /** Puts a message back into this group alone. */
  readmit(entry: Entry): void {
    entry.owed++;
    const { orderingKey } = entry.message;
    if (orderingKey === undefined || this.#takeTurn(entry, orderingKey)) this.#giveBack({ entry, attempts: 0 });
  }

  stats(): GroupStats {
    const now = this.#log.clock.now();
    let ready = this.#returned.size + this.#retries.size;
    let oldest = now;
    for (const entry of this.unacked()) oldest = Math.min(oldest, entry.message.publishedAt);
    for (const entries of this.#ordered.values()) ready += entries.size;
    for (let at = this.cursor; at < this.#log.end; at++) {
      const { message, stored } = this.#log.at(at);
      if (!stored || !this.#matches(message.key)) continue;
      ready++;
      oldest = Math.min(oldest, message.publishedAt);
    }
    let delayed = this.#delayed.size;
    for (const { key } of this.#log.delayed()) if (this.#matches(key)) delayed++;
    return {
      ready,
      delayed,
      inFlight: this.#claims.size,
      dead: this.dead.size,
      consumers: this.consumers.size,
      oldestAgeMs: now - oldest,
    };
  }

  /** Ends every timer and wait, and frees what it held. */
  dispose(): void {
    for (const puller of this.pullers) {
      puller.fail(new MessageQueueError("not_found", `Cannot consume: group "${this.name}" was deleted`));
    }
    this.pullers.clear();
    for (const alarm of [this.#leaseAlarm, this.#delayAlarm, this.#expiryAlarm]) alarm.clear();
    for (const entry of this.unacked()) this.#log.done(entry);
  }
}
