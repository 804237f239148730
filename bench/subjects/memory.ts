/**
 * In memory: the bare hand-offs that ours is compared with.
 *
 * @module
 */

import { MemoryBackend } from "../../backends/memory.ts";
import { type Candidate, inFlight, lanes, type Setting, type Subject } from "../work.ts";
import { backendAlone, queue } from "./ours.ts";
import { fastq, fedifyInProcess } from "./peers.ts";

/** A queue as somebody writes it who needs no more: an array, and a promise for whoever waits. */
class HandOff<T> {
  #items: T[] = [];
  #head = 0;
  #waiting: ((item: T) => void) | undefined;

  async put(item: T): Promise<void> {
    const waiting = this.#waiting;
    if (waiting === undefined) {
      this.#items.push(item);
    } else {
      this.#waiting = undefined;
      waiting(item);
    }
  }

  next(): Promise<{ readonly done: false; readonly value: T }> {
    if (this.#head < this.#items.length) {
      const value = this.#items[this.#head++] as T;
      if (this.#head === this.#items.length) {
        this.#items = [];
        this.#head = 0;
      }
      return Promise.resolve({ done: false, value });
    }
    return new Promise((resolve) => this.#waiting = (value) => resolve({ done: false, value }));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function handOff<T>(encode: (payload: object) => T, decode: (item: T) => object): Candidate {
  return async ({ load }): Promise<Subject> => {
    const hand = new HandOff<T>();
    let listening = true;
    return {
      publish: (count) => lanes(count, inFlight, (n) => hand.put(encode(load(n).payload))),
      consume: async (count) => {
        let left = count;
        for await (const item of hand) {
          decode(item);
          if (--left === 0) break;
        }
      },
      listen: async (taken) => {
        void (async () => {
          for await (const item of hand) {
            if (!listening) break;
            taken(decode(item));
          }
        })();
      },
      send: (payload) => hand.put(encode(payload)),
      close: async () => void (listening = false),
    };
  };
}

/** The limit: pushes batches, and calls back for each of them. */
const array: Candidate = async ({ load }): Promise<Subject> => {
  const items: object[] = [];
  let sum = 0;
  const handle = (payload: object) => void (sum += "n" in payload ? 1 : 0);
  return {
    publish: async (count) => {
      for (let n = 0; n < count; n++) items.push(load(n).payload);
    },
    consume: async (count) => {
      for (const payload of items.splice(0, count)) handle(payload);
    },
    through: async (count) => {
      for (let from = 0; from < count; from += inFlight) {
        const batch: object[] = [];
        for (let n = from; n < Math.min(count, from + inFlight); n++) batch.push(load(n).payload);
        for (const payload of batch) handle(payload);
        await undefined;
      }
    },
    close: async () => {
      if (sum < 0) throw new Error("The compiler must not drop the work");
    },
  };
};

/** Our backend. */
export const openMemory = (_setting: Setting): MemoryBackend => new MemoryBackend();

/** By name. */
export const memory: Readonly<Record<string, Candidate>> = {
  "array, by reference": array,
  "hand-off, by reference": handOff((payload) => payload, (payload) => payload),
  "hand-off, JSON": handOff(JSON.stringify, (text) => JSON.parse(text)),
  backend: backendAlone(openMemory),
  consume: queue(openMemory, "consume"),
  "subscribe 1": queue(openMemory, { concurrency: 1 }),
  "subscribe 64": queue(openMemory, { concurrency: 64 }),
  fastq,
  "Fedify in-process": fedifyInProcess,
};
