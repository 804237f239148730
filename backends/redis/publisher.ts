/**
 * Publishing: what is published in one tick leaves in one script for each partition.
 *
 * @module
 */

import { MessageQueueError, type PublishFailure, PublishManyError } from "../../core/errors.ts";
import type { Message } from "../../core/message.ts";
import type { Broker } from "./broker.ts";
import { partitionOf } from "./names.ts";
import { encodeMessage } from "./record.ts";

// A script stops every other client of the server: 512 messages take it about a millisecond.
const batchMessages = 512;
const batchChars = 1 << 20;

// Lua copies each message twice: for long ones that costs more than commands of their own.
const longChars = 2_000;

interface Call {
  readonly messages: readonly Message[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

// What a message sent by itself needs, made once: there is one such message after the other.
interface Target {
  readonly stream: string;
  readonly fail: (error: unknown) => Promise<never>;
}

function ignore(): void {}

/** Publishes to one exchange. */
export class Publisher {
  readonly #broker: Broker;
  readonly #waiting: Call[][];
  readonly #scheduled: boolean[] = [];
  readonly #targets: readonly Target[];

  /** @param broker Where to. */
  constructor(broker: Broker) {
    this.#broker = broker;
    this.#waiting = broker.partitions.map(() => []);
    this.#targets = broker.partitions.map(({ partition, stream }) => ({
      stream,
      fail: async (error) => {
        throw await broker.fail(error, partition, "publish");
      },
    }));
  }

  /**
   * Stores messages: all of a partition's or none.
   *
   * @param messages The messages.
   */
  publish(messages: readonly Message[]): Promise<void> {
    const [first] = messages;
    if (first === undefined) return Promise.resolve();
    if (messages.length === 1) return this.#one(first, messages);
    return this.#broker.partitions.length === 1 ? this.#add(0, messages) : this.#many(messages);
  }

  async #many(messages: readonly Message[]): Promise<void> {
    const { partitions } = this.#broker;
    const places: number[][] = partitions.map(() => []);
    for (const [index, message] of messages.entries()) places[this.#partitionOf(message)]?.push(index);
    const parts = places.flatMap((indexes, partition) => indexes.length === 0 ? [] : [{ partition, indexes }]);
    const results = await Promise.allSettled(parts.map(({ partition, indexes }) => {
      return this.#add(partition, indexes.flatMap((index) => messages[index] ?? []));
    }));
    const failures: PublishFailure[] = [];
    for (const [i, result] of results.entries()) {
      if (result.status === "fulfilled") continue;
      if (parts.length === 1) throw result.reason;
      for (const index of parts[i]?.indexes ?? []) failures.push({ index, error: result.reason });
    }
    if (failures.length > 0) throw new PublishManyError(messages.length, failures.sort((a, b) => a.index - b.index));
  }

  #partitionOf({ orderingKey, key }: Message): number {
    return partitionOf(orderingKey ?? key, this.#broker.partitions.length);
  }

  // A plain message needs no script: pipelined XADD costs the server less. It must not overtake what waits for the end of the tick.
  #one(message: Message, messages: readonly Message[]): Promise<void> {
    const { settings, partitions } = this.#broker;
    const partition = partitions.length === 1 ? 0 : this.#partitionOf(message);
    const connection = this.#broker.open(partition);
    const target = this.#targets[partition];
    if (
      connection === undefined || target === undefined || this.#scheduled[partition] || settings.maxLength > 0 ||
      settings.minReplicas > 0 || !isPlain(message)
    ) return this.#add(partition, messages);
    return connection.send(["XADD", target.stream, "*", "m", encodeMessage(message)]).then(ignore, target.fail);
  }

  #add(partition: number, messages: readonly Message[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting[partition]?.push({ messages, resolve, reject });
      if (this.#scheduled[partition]) return;
      this.#scheduled[partition] = true;
      // The end of the tick, when a loop over `publish` has run through, and those whose publish has just resolved have published again.
      queueMicrotask(() => this.#flush(partition));
    });
  }

  #flush(partition: number): void {
    this.#scheduled[partition] = false;
    const calls = this.#waiting[partition] ?? [];
    this.#waiting[partition] = [];
    let batch: Call[] = [];
    let count = 0;
    let chars = 0;
    for (const call of calls) {
      batch.push(call);
      count += call.messages.length;
      for (const { body } of call.messages) chars += body.length;
      if (count >= batchMessages || chars >= batchChars) {
        this.#send(partition, batch);
        batch = [];
        count = chars = 0;
      }
    }
    if (batch.length > 0) this.#send(partition, batch);
  }

  #send(partition: number, calls: readonly Call[]): void {
    this.#store(partition, calls).then((stored) => {
      for (const [index, call] of calls.entries()) {
        if (stored === undefined || stored[index] === 1) call.resolve();
        else call.reject(this.#full());
      }
    }, (error) => {
      for (const call of calls) call.reject(error);
    });
  }

  #full(): MessageQueueError {
    const { maxLength, exchange } = this.#broker.settings;
    return new MessageQueueError("full", `Cannot publish to ${exchange}: its ${maxLength} messages are stored already`);
  }

  async #store(partition: number, calls: readonly Call[]): Promise<readonly number[] | undefined> {
    const { maxLength, dedupWindowMs } = this.#broker.settings;
    if (maxLength === 0 && calls.every(({ messages }) => messages.every(isPlain))) {
      const texts = calls.flatMap(({ messages }) => messages.map(encodeMessage));
      const chars = texts.reduce((sum, text) => sum + text.length, 0);
      if (chars / texts.length > longChars && this.#broker.settings.minReplicas === 0) {
        const stream = this.#targets[partition]?.stream ?? "";
        await this.#broker.transaction(partition, texts.map((text) => ["XADD", stream, "*", "m", text]), "publish");
      } else {
        await this.#run("publishPlain", partition, texts);
      }
      return undefined;
    }
    const share = maxLength === 0 ? 0 : Math.ceil(maxLength / this.#broker.partitions.length);
    const args = [String(share), String(dedupWindowMs)];
    for (const { messages } of calls) {
      args.push(String(messages.length));
      for (const message of messages) {
        const kind = message.orderingKey !== undefined ? "o" : message.deliverAt !== undefined ? "d" : "p";
        args.push(kind, message.deduplicate ? message.id : "", String(message.deliverAt ?? 0), encodeMessage(message));
      }
    }
    return await this.#run("publish", partition, args) as readonly number[];
  }

  async #run(script: "publish" | "publishPlain", partition: number, args: readonly string[]): Promise<unknown> {
    const { minReplicas, timeoutMs } = this.#broker.settings;
    if (minReplicas === 0) return await this.#broker.run(script, partition, args, "publish");
    const [reply, replicas] = await this.#broker.runAndWait(script, partition, args, "publish", minReplicas, timeoutMs);
    if (replicas < minReplicas) {
      // Not to be tried again by itself: each attempt would store another copy.
      throw new MessageQueueError(
        "storage",
        `Cannot be sure of a publish: ${replicas} of the ${minReplicas} replicas wanted have it; it may be delivered all the same`,
      );
    }
    return reply;
  }
}

function isPlain({ deduplicate, deliverAt, orderingKey }: Message): boolean {
  return !deduplicate && deliverAt === undefined && orderingKey === undefined;
}
