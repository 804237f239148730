/**
 * Blocking reads of one group over one connection: of all partitions where they are on one server, of one in a cluster.
 *
 * @module
 */

import { MessageQueueError } from "../../core/errors.ts";
import { pause } from "../../core/signals.ts";
import type { Broker } from "./broker.ts";
import type { Connection } from "./connection.ts";
import type { PartitionNames } from "./names.ts";

/**
 * How long one read blocks, in milliseconds. It ends sooner by what arrives or by CLIENT UNBLOCK; the limit is for noticing a
 * connection whose other end vanished.
 */
const blockMs = 5_000;

/** An entry of a stream: id, then names and values. */
export type Entry = readonly [string, readonly string[]];

/** A stream that is read. */
interface Stream {
  /** Its partition. */
  readonly partition: number;
  /** Whether it is the wake stream, whose entries say nothing but that they are there. */
  readonly isWake: boolean;
}

/** What a read brought from one stream. */
export interface ReadResult extends Stream {
  /** The entries. */
  readonly entries: readonly Entry[];
}

/** What all partitions of a read brought. */
export interface ReadReply {
  /** By stream; empty when the wait ended with nothing. */
  readonly results: readonly ReadResult[];
  /** The group's filter when it was claimed. */
  readonly filter: string | undefined;
}

const nothing: ReadReply = { results: [], filter: undefined };

/** Reads for one consumer. */
export class Reader {
  readonly #broker: Broker;
  /** What each stream's name stands for. */
  readonly #streams: ReadonlyMap<string, Stream>;
  /** Its partition, the first where there are several. */
  readonly partition: number;
  readonly #group: string;
  readonly #command: (count: number, block: boolean) => string[];
  readonly #settings: readonly string[];
  #connection: Connection | undefined;
  #waiting: Promise<unknown> | undefined;
  #stopped = false;

  /**
   * @param broker The servers.
   * @param partitions Which partitions; in a cluster one.
   * @param group Which group.
   * @param consumer Who reads.
   */
  constructor(broker: Broker, partitions: readonly PartitionNames[], group: string, consumer: string) {
    this.#broker = broker;
    this.#group = group;
    this.partition = partitions[0]?.partition ?? 0;
    this.#streams = new Map(
      partitions.flatMap(({ partition, stream, prefix }): [string, Stream][] => [
        [stream, { partition, isWake: false }],
        [`${prefix}wake:${group}`, { partition, isWake: true }],
      ]),
    );
    const streams = [...this.#streams.keys()];
    const rest = ["STREAMS", ...streams, ...streams.map(() => ">")];
    const waiting = ["BLOCK", String(blockMs), ...rest];
    this.#command = (count, block) => {
      const head = ["XREADGROUP", "GROUP", group, consumer, "COUNT", String(count)];
      return head.concat(block ? waiting : rest);
    };
    this.#settings = ["HGET", `${partitions[0]?.prefix}group:${group}`, "keys"];
  }

  /**
   * Reads what there is, or waits for messages, some seconds at most.
   *
   * @param count At most how many, of each partition.
   * @param signal When it is aborted before the wait has begun, it does not begin; later, `unblock` ends it.
   * @param block Whether to wait.
   * @returns What came, and the group's filter at that time.
   */
  async read(count: number, signal: AbortSignal, block: boolean): Promise<ReadReply> {
    let connection = this.#connection;
    try {
      if (!connection?.isOpen) connection = this.#connection = await this.#broker.takeReader(this.partition);
      if (signal.aborted || this.#stopped) return nothing;
      // The filter rides along: it is that of the moment when the messages were claimed, and costs no round trip.
      const read = connection.send(this.#command(Math.max(1, count), block), block ? blockMs : 0);
      const settings = connection.send(this.#settings);
      this.#waiting = read;
      // Waited for together: each further `await` would let others go before this message.
      const [reply, filter] = await Promise.all([read, settings]);
      if (typeof filter !== "string") {
        throw new MessageQueueError("not_found", `Cannot receive for the group ${this.#group}: it was removed`);
      }
      return { results: this.#results(reply), filter };
    } catch (error) {
      this.#drop();
      throw await this.#broker.fail(error, this.partition, `receive for the group ${this.#group}`);
    } finally {
      this.#waiting = undefined;
    }
  }

  /** Ends a wait, keeping the connection where it can. Resolves when it has ended. */
  async unblock(): Promise<void> {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    let ended = false;
    const done = waiting.then(() => void (ended = true), () => void (ended = true));
    const limit = performance.now() + 500;
    while (!ended) {
      const connection = this.#connection;
      if (connection === undefined) break;
      try {
        // Before the read has reached the server this does nothing, hence again.
        await Promise.race([
          done,
          this.#broker.send(this.partition, ["CLIENT", "UNBLOCK", connection.clientId], "unblock"),
        ]);
      } catch {
        // No connection to say it over: closing the reader's own ends the wait too.
        this.#drop();
      }
      if (!ended) await Promise.race([done, pause(5)]);
      if (!ended && performance.now() > limit) this.#drop();
    }
    await done;
  }

  /** Ends a wait and all further ones. */
  stop(): Promise<void> {
    this.#stopped = true;
    return this.unblock();
  }

  /** Gives the connection back. */
  close(): void {
    this.#stopped = true;
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    if (this.#waiting === undefined) this.#broker.giveReader(connection);
    else this.#broker.dropReader(connection);
  }

  #drop(): void {
    if (this.#connection !== undefined) this.#broker.dropReader(this.#connection);
    this.#connection = undefined;
  }

  #results(reply: unknown): readonly ReadResult[] {
    if (!Array.isArray(reply)) return [];
    const results: ReadResult[] = [];
    for (const [name, entries] of reply as readonly (readonly [string, readonly Entry[]])[]) {
      const stream = this.#streams.get(name);
      if (stream !== undefined) results.push({ ...stream, entries });
    }
    return results;
  }
}
