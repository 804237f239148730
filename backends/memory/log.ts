/**
 * The messages of one exchange, in order, and its groups.
 *
 * @module
 */

import type { GroupOptions } from "../../core/backend.ts";
import { MessageQueueError } from "../../core/errors.ts";
import { compileFilter } from "../../core/keys.ts";
import type { Message } from "../../core/message.ts";
import { Alarm, type Clock, DueHeap } from "./due.ts";
import type { Entry, Shared } from "./entry.ts";
import { MemoryGroup } from "./group.ts";

/** Bounds of a log. */
export interface LogOptions {
  readonly clock: Clock;
  readonly maxLength: number | undefined;
  readonly maxAgeMs: number | undefined;
  readonly dedupWindowMs: number;
}

// The log is cut in steps of at least this many, so that a cut costs nothing by message.
const trimStep = 1_024;

/** The messages of one exchange. */
export class Log implements Shared {
  readonly clock: Clock;
  readonly maxAgeMs: number | undefined;
  readonly groups: Map<string, MemoryGroup> = new Map();
  readonly #maxLength: number | undefined;
  readonly #dedupWindowMs: number;
  #entries: Entry[] = [];
  /** Position of the first in the array. */
  #base = 0;
  /** Position of the first entry; what is before it in the array is cut off with the next half. */
  #start = 0;
  /** Messages that some group has yet to ack, delayed ones included. */
  #retained = 0;
  readonly #delayed = new DueHeap<Message>();
  readonly #delayAlarm: Alarm;
  /** Ids given by applications, and until when they are known; oldest first. */
  readonly #known = new Map<string, number>();

  constructor(options: LogOptions) {
    this.clock = options.clock;
    this.maxAgeMs = options.maxAgeMs;
    this.#maxLength = options.maxLength;
    this.#dedupWindowMs = options.dedupWindowMs;
    this.#delayAlarm = new Alarm(this.clock, () => this.#admitDelayed());
  }

  /** Position of the oldest entry. */
  get start(): number {
    return this.#start;
  }

  /** Position of the next entry. */
  get end(): number {
    return this.#base + this.#entries.length;
  }

  get retained(): number {
    return this.#retained;
  }

  /** The entry at a position from `start` to before `end`. */
  at(position: number): Entry {
    const entry = this.#entries[position - this.#base];
    if (entry === undefined) throw new RangeError(`There is no entry at ${position}`);
    return entry;
  }

  /** Messages that were published with a delay and are not due yet, in no order. */
  delayed(): Iterable<Message> {
    return this.#delayed.values();
  }

  /** Stores messages, all or none. */
  publish(messages: readonly Message[]): void {
    const fresh = messages.some((message) => message.deduplicate) ? this.#withoutDuplicates(messages) : messages;
    const length = this.#retained + fresh.length;
    if (this.#maxLength !== undefined && length > this.#maxLength) {
      throw new MessageQueueError(
        "full",
        `Cannot publish ${fresh.length} messages: ${this.#retained} of at most ${this.#maxLength} are waiting`,
      );
    }
    // Asked for once, and only where a time matters: few messages need one.
    let time: number | undefined;
    const now = () => time ??= this.clock.now();
    for (const message of fresh) {
      this.#retained++;
      if (message.deduplicate) this.#known.set(message.id, now() + this.#dedupWindowMs);
      if (message.deliverAt === undefined || message.deliverAt <= now()) {
        this.#append(message);
      } else {
        this.#delayed.add(message.deliverAt, message);
        this.#delayAlarm.set(message.deliverAt);
      }
    }
    this.#wake();
  }

  #withoutDuplicates(messages: readonly Message[]): Message[] {
    const now = this.clock.now();
    for (const [id, until] of this.#known) {
      if (until > now) break;
      this.#known.delete(id);
    }
    const inBatch = new Set<string>();
    return messages.filter(({ deduplicate, id }) => {
      if (!deduplicate) return true;
      if (inBatch.has(id) || this.#known.has(id)) return false;
      inBatch.add(id);
      return true;
    });
  }

  #append(message: Message): void {
    this.#entries.push({ message, position: this.end, owed: this.groups.size, stored: true });
  }

  #admitDelayed(): void {
    const now = this.clock.now();
    for (let message = this.#delayed.take(now); message !== undefined; message = this.#delayed.take(now)) {
      this.#append(message);
    }
    if (this.#delayed.size > 0) this.#delayAlarm.set(this.#delayed.earliest);
    this.#wake();
  }

  #wake(): void {
    for (const group of this.groups.values()) group.wake();
  }

  /** The group of a name, made when there is none; another filter than its own is refused. */
  openGroup(name: string, options: GroupOptions): MemoryGroup {
    const existing = this.groups.get(name);
    if (existing !== undefined) {
      if (options.keys !== undefined && options.keys !== existing.keys) {
        throw new MessageQueueError(
          "group_conflict",
          `Cannot use filter "${options.keys}": group "${name}" has "${existing.keys}"; change it by groups.update`,
        );
      }
      return existing;
    }
    if (options.keys !== undefined) compileFilter(options.keys);
    const group = new MemoryGroup(name, this, options);
    this.groups.set(name, group);
    for (const entry of this.#entries) if (entry.stored && entry.position >= group.cursor) entry.owed++;
    this.trim();
    return group;
  }

  /** Removes a group; what only it had yet to ack is dropped. */
  dropGroup(name: string): boolean {
    const group = this.groups.get(name);
    if (group === undefined) return false;
    this.groups.delete(name);
    group.dispose();
    for (const entry of this.#entries) {
      if (!entry.stored || entry.position < group.cursor) continue;
      // With the last group gone, what it had not read waits for the next group.
      if (--entry.owed === 0 && this.groups.size > 0) this.#forget(entry);
    }
    this.trim();
    return true;
  }

  /** What groups have yet to ack of the messages before a position, by position. */
  unackedBelow(position: number): Entry[] {
    const entries = new Set<Entry>();
    for (const group of this.groups.values()) {
      for (const entry of group.unacked()) if (entry.position < position && entry.position >= 0) entries.add(entry);
    }
    return [...entries].sort((a, b) => a.position - b.position);
  }

  /** A group is done with an entry. */
  done(entry: Entry): void {
    if (--entry.owed === 0) this.#forget(entry);
  }

  #forget(entry: Entry): void {
    if (!entry.stored) return;
    entry.stored = false;
    this.#retained--;
  }

  /** Keeps a message for one group alone. */
  readmit(message: Message): Entry {
    this.#retained++;
    return { message, position: -1, owed: 0, stored: true };
  }

  /** Cuts off what every group has read. */
  trim(): void {
    let start = this.end;
    for (const group of this.groups.values()) start = Math.min(start, group.cursor);
    const count = start - this.#start;
    if (this.groups.size === 0 || count === 0 || (count < trimStep && start < this.end)) return;
    for (let at = this.#start; at < start; at++) {
      const entry = this.at(at);
      // What was there before the first group, and that one starts later.
      if (entry.owed === 0) this.#forget(entry);
    }
    this.#start = start;
    // Moving what is left costs as much as there is left, so it is done only when as much goes.
    const gone = start - this.#base;
    if (gone * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(gone);
    this.#base = start;
  }

  /** Ends every timer. */
  dispose(): void {
    this.#delayAlarm.clear();
    for (const group of this.groups.values()) group.dispose();
  }
}
