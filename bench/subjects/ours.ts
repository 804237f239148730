/**
 * `@abe/mq` itself, at each of its levels, over any backend.
 *
 * @module
 */

import type { DurableBackend } from "../../core/backend.ts";
import { createMessage } from "../../core/message.ts";
import { MessageQueue } from "../../core/queue.ts";
import { batches, type Candidate, countdown, inFlight, lanes, type Load, type Setting, type Subject } from "../work.ts";

const group = "g";
const never = new AbortController().signal;
const decoder = new TextDecoder();

/** What takes messages out of a {@linkcode MessageQueue}. */
export type Way = "consume" | "receive" | { readonly concurrency: number };

/**
 * The whole queue.
 *
 * @param open Makes the backend.
 * @param way How messages are taken.
 */
export function queue(open: (setting: Setting) => DurableBackend, way: Way): Candidate {
  return async (setting) => {
    const mq = new MessageQueue(open(setting));
    await mq.groups.create(group);
    const { load } = setting;
    return {
      publish: (count) =>
        lanes(count, inFlight, (n) => {
          const { key, payload } = load(n);
          return mq.publish(key, payload);
        }),
      consume: (count) => take(mq, way, count),
      listen: async (taken) => {
        if (typeof way === "object") {
          await mq.subscribe((delivery) => taken(delivery.payload), { group, ...way });
          return;
        }
        void (async () => {
          for await (const payload of mq.consume({ group })) taken(payload);
        })();
      },
      send: async (payload) => {
        await mq.publish("order.created", payload);
      },
      close: () => mq.close(),
    };
  };
}

async function take(mq: MessageQueue, way: Way, count: number): Promise<void> {
  if (typeof way === "object") {
    const { done, tick } = countdown(count);
    const subscription = await mq.subscribe(tick, { group, ...way, prefetch: inFlight });
    await done;
    await subscription.drain();
  } else if (way === "receive") {
    const acks: Promise<void>[] = [];
    for await (const delivery of mq.receive({ group, prefetch: inFlight })) {
      acks.push(delivery.ack());
      if (acks.length === count) break;
    }
    await Promise.all(acks);
  } else {
    // Asking for the next acks the last; the signal ends the wait for one that will not come.
    const end = new AbortController();
    let taken = 0;
    for await (const _ of mq.consume({ group, prefetch: inFlight, signal: end.signal })) {
      if (++taken === count) queueMicrotask(() => end.abort());
    }
  }
}

/**
 * A backend without the queue around it.
 *
 * @param open Makes the backend.
 */
export function backendAlone(open: (setting: Setting) => DurableBackend): Candidate {
  return async (setting): Promise<Subject> => {
    const backend = open(setting);
    const receiver = await backend.receive({ group, leaseMs: 30_000 });
    return {
      // Two batches under way, so that one is made while the other is stored.
      publish: async (count) => {
        const parts = batches(count);
        await lanes(parts.length, 2, (i) => publishBatch(backend, setting.load, parts[i]));
      },
      consume: async (count) => {
        let settled: Promise<unknown> = Promise.resolve();
        for (let left = count; left > 0;) {
          const claims = await receiver.pull({ max: Math.min(inFlight, left), signal: never });
          for (const { body } of claims) JSON.parse(typeof body === "string" ? body : decoder.decode(body));
          left -= claims.length;
          await settled;
          settled = receiver.settle(claims.map((claim) => ({ claim, verb: "ack" })));
        }
        await settled;
      },
      close: async () => {
        await receiver.close();
        await backend[Symbol.asyncDispose]?.();
      },
    };
  };
}

async function publishBatch(
  backend: DurableBackend,
  load: Load,
  { from, size }: { readonly from: number; readonly size: number } = { from: 0, size: 0 },
): Promise<void> {
  await backend.publishMany(Array.from({ length: size }, (_, n) => {
    const { key, payload } = load(from + n);
    return createMessage(key, payload);
  }));
}
