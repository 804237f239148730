/**
 * Other queues, by their best documented settings, on the same work.
 *
 * @module
 */

import { join } from "node:path";
import { loadPeer } from "../peers.ts";
import { batches, type Candidate, countdown, inFlight, lanes, type Load, type Subject } from "../work.ts";

interface Disposable {
  [Symbol.dispose]?(): void;
}

/** The queue of Fedify's, in all its shapes. */
interface FedifyQueue extends Disposable {
  enqueue(message: object): Promise<void>;
  enqueueMany?(messages: readonly object[]): Promise<void>;
  listen(handler: (message: object) => void, options: { signal: AbortSignal }): Promise<void>;
}

// Fedify polls beside its notices; the shortest interval keeps the last message of a run from waiting for five seconds.
const pollInterval = { milliseconds: 500 };

function fedify(make: (setting: Parameters<Candidate>[0]) => Promise<FedifyQueue>): Candidate {
  return async (setting): Promise<Subject> => {
    const queue = await make(setting);
    const end = new AbortController();
    const { load } = setting;
    const listenUntil = (handler: (message: object) => void, signal: AbortSignal) =>
      void queue.listen(handler, { signal }).catch((error: unknown) => console.error(error));
    // Its listener may look once more after it was told to end.
    const settleDown = () => new Promise((resolve) => setTimeout(resolve, 100));
    return {
      publish: async (count) => {
        const { enqueueMany } = queue;
        const payloads = ({ from, size }: { readonly from: number; readonly size: number }) =>
          Array.from({ length: size }, (_, n) => load(from + n).payload);
        if (enqueueMany === undefined) await lanes(count, inFlight, (n) => queue.enqueue(load(n).payload));
        else for (const batch of batches(count)) await enqueueMany.call(queue, payloads(batch));
      },
      consume: async (count) => {
        const { done, tick } = countdown(count);
        const enough = new AbortController();
        listenUntil(tick, enough.signal);
        await done;
        enough.abort();
      },
      listen: async (taken) => listenUntil(taken, end.signal),
      send: (payload) => queue.enqueue(payload),
      close: async () => {
        end.abort();
        await settleDown();
        queue[Symbol.dispose]?.();
      },
    };
  };
}

/** In memory, by reference, one handler at a time; no ack. */
export const fedifyInProcess: Candidate = fedify(async () => {
  const { InProcessMessageQueue } = await loadPeer<{ InProcessMessageQueue: new (options: object) => FedifyQueue }>(
    "@fedify/fedify",
  );
  return new InProcessMessageQueue({ pollInterval });
});

/** On SQLite: deletes before it handles. */
export const fedifySqlite: Candidate = fedify(async ({ folder }) => {
  const { SqliteMessageQueue } = await loadPeer<{
    SqliteMessageQueue: new (database: object, options: object) => FedifyQueue;
  }>("@fedify/sqlite");
  const path = join(folder, "fedify.db");
  const bun = "Bun" in globalThis;
  const { Database, DatabaseSync } = await import(bun ? "bun:sqlite" : "node:sqlite") as Record<
    string,
    new (path: string) => object
  >;
  const Sqlite = Database ?? DatabaseSync;
  if (Sqlite === undefined) throw new Error("There is no SQLite in this runtime");
  return new SqliteMessageQueue(new Sqlite(path), { pollInterval });
});

/** On Redis: a sorted set under a lock; removes before it handles. */
export const fedifyRedis: Candidate = fedify(async ({ url, name }) => {
  const { RedisMessageQueue } = await loadPeer<{
    RedisMessageQueue: new (connect: () => object, options: object) => FedifyQueue;
  }>("@fedify/redis");
  const { Redis } = await loadPeer<{ Redis: new (url: string) => object }>("ioredis");
  const keys = { channelKey: `${name}-channel`, queueKey: `${name}-queue`, lockKey: `${name}-lock` };
  return new RedisMessageQueue(() => new Redis(url), { pollInterval, ...keys });
});

/** In memory, by reference: its push resolves once the worker is done. */
export const fastq: Candidate = async ({ load }): Promise<Subject> => {
  type Push = { push(payload: object): Promise<void> };
  const { default: module } = await loadPeer<{
    default: { promise(worker: (payload: object) => Promise<void>, concurrency: number): Push };
  }>("fastq");
  let taken: (payload: object) => void = () => {};
  const queue = module.promise(async (payload) => taken(payload), inFlight);
  return {
    through: (count) => lanes(count, inFlight, (n) => queue.push(load(n).payload)),
    listen: async (handler) => void (taken = handler),
    send: (payload) => queue.push(payload),
    close: async () => {},
  };
};

interface PlainjobModule {
  bun(database: object): object;
  defineQueue(options: object): { addMany(type: string, jobs: readonly object[]): void; close(): void };
  defineWorker(
    type: string,
    handler: (job: { data: string }) => Promise<void>,
    options: object,
  ): { start(): Promise<void>; stop(): Promise<void> };
}

/** On SQLite, on Bun (on Node it wants a compiled addon); marks as done when handled. */
export const plainjob: Candidate = async ({ folder, load }): Promise<Subject> => {
  const { bun, defineQueue, defineWorker } = await loadPeer<PlainjobModule>("plainjob");
  const { Database } = await import("bun:sqlite" as string) as {
    Database: new (path: string, options: object) => object;
  };
  const silent = { error: console.error, warn: console.warn, info() {}, debug() {} };
  const connection = bun(new Database(join(folder, "plainjob.db"), { strict: true, create: true }));
  const queue = defineQueue({ connection, logger: silent });
  const work = (taken: (payload: object) => void) => {
    const worker = defineWorker("bench", async (job) => taken(JSON.parse(job.data)), { queue, logger: silent });
    void worker.start();
    return worker;
  };
  let listening: { stop(): Promise<void> } | undefined;
  return {
    publish: async (count) => {
      for (const batch of batches(count)) queue.addMany("bench", payloads(load, batch));
    },
    consume: async (count) => {
      const { done, tick } = countdown(count);
      const worker = work(tick);
      await done;
      await worker.stop();
    },
    listen: async (taken) => void (listening = work(taken)),
    send: async (payload) => queue.addMany("bench", [payload]),
    close: async () => {
      await listening?.stop();
      queue.close();
    },
  };
};

function payloads(load: Load, { from, size }: { readonly from: number; readonly size: number }): object[] {
  return Array.from({ length: size }, (_, n) => load(from + n).payload);
}

interface BullmqModule {
  Queue: new (name: string, options: object) => {
    add(name: string, payload: object, options: object): Promise<unknown>;
    addBulk(jobs: readonly object[]): Promise<unknown>;
    close(): Promise<void>;
  };
  Worker: new (name: string, handler: (job: { data: object }) => Promise<void>, options: object) => {
    close(): Promise<void>;
    on(event: "error", listener: (error: unknown) => void): void;
  };
}

/** On Redis, with locks that are renewed; adds in bulk, works on many at once, keeps nothing of what is done. */
export const bullmq: Candidate = async ({ url, name, load }): Promise<Subject> => {
  const { Queue, Worker } = await loadPeer<BullmqModule>("bullmq");
  const { hostname: host, port } = new URL(url);
  const connection = { host, port: Number(port), maxRetriesPerRequest: null };
  const queue = new Queue(name, { connection });
  const opts = { removeOnComplete: true, removeOnFail: true };
  const work = (taken: (payload: object) => void) => {
    const worker = new Worker(name, async (job) => taken(job.data), { connection, concurrency: 100, ...opts });
    worker.on("error", (error) => console.error(error));
    return worker;
  };
  let listening: { close(): Promise<void> } | undefined;
  return {
    publish: async (count) => {
      for (const batch of batches(count)) {
        await queue.addBulk(payloads(load, batch).map((data) => ({ name: "bench", data, opts })));
      }
    },
    consume: async (count) => {
      const { done, tick } = countdown(count);
      const worker = work(tick);
      await done;
      await worker.close();
    },
    listen: async (taken) => void (listening = work(taken)),
    send: async (payload) => void await queue.add("bench", payload, opts),
    close: async () => {
      await listening?.close();
      await queue.close();
    },
  };
};
