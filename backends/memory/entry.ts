/**
 * A message in the log, and what the groups of a log share.
 *
 * @module
 */

import type { Message } from "../../core/message.ts";
import type { Clock } from "./due.ts";

/** A message in the log. */
export interface Entry {
  readonly message: Message;
  /** Its place in the log; -1 when it was put back into one group alone. */
  readonly position: number;
  /** How many groups have yet to ack it. */
  owed: number;
  /** Whether it counts as retained; what no group needs any more is passed over. */
  stored: boolean;
}

/** What a group sees of the log that it reads. */
export interface Shared {
  readonly clock: Clock;
  readonly maxAgeMs: number | undefined;
  /** Position of the oldest entry. */
  readonly start: number;
  /** Position of the next entry. */
  readonly end: number;
  /** The entry at a position from `start` to before `end`. */
  at(position: number): Entry;
  /** Messages that were published with a delay and are not due yet, in no order. */
  delayed(): Iterable<Message>;
  /** A group is done with an entry. */
  done(entry: Entry): void;
  /** Cuts off what every group has read. */
  trim(): void;
  /** What groups have yet to ack of the messages before a position, by position. */
  unackedBelow(position: number): Entry[];
  /** Keeps a message for one group alone. */
  readmit(message: Message): Entry;
  /** Removes a group. */
  dropGroup(name: string): boolean;
}
