/**
 * Promise 12: order, of one publisher to one consumer, and of messages that share an ordering key to any number of them.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { ConformanceCase } from "../case.ts";
import type { KitPayload } from "../worker.ts";
import { each, numberOf, range, refused } from "./expect.ts";

/** The cases. */
export const orderingCases: readonly ConformanceCase[] = [
  {
    name: "one publisher's messages come to one consumer in order",
    promise: 12,
    async run(context) {
      const total = context.scaled(300);
      const taking = context.take(context.b, total);
      await context.publish(context.a, total);
      assert.deepEqual(await taking, range(total));
    },
  },
  {
    name: "a backlog comes in order",
    promise: 12,
    async run(context) {
      const total = context.scaled(300);
      await context.publish(context.a, total);
      assert.deepEqual(await context.take(context.b, total), range(total));
    },
  },
  {
    name: "messages of one ordering key are handled in order and never two at once, by many handlers",
    promise: 12,
    needs: ["ordering", "receive"],
    async run(context) {
      const { a, b } = context;
      const [lanes, each] = [10, 20];
      const running = new Set<string>();
      const overlaps: string[] = [];
      const seen = new Map<string, number[]>();
      let handled = 0;
      const handler = async ({ payload, orderingKey }: { payload: KitPayload; orderingKey: string | undefined }) => {
        const key = orderingKey ?? "none";
        if (running.has(key)) overlaps.push(`${key} at ${payload.n}`);
        running.add(key);
        // Handlers of different lengths, so that order is not an accident.
        await context.pass((payload.n * 7) % 3);
        running.delete(key);
        seen.set(key, [...seen.get(key) ?? [], payload.n]);
        handled++;
      };
      const options = { concurrency: 8, prefetch: 16 };
      const subscriptions = [
        await a.subscribe<KitPayload>(handler, options),
        await b.subscribe<KitPayload>(handler, options),
      ];
      for (let n = 0; n < each; n++) {
        for (let lane = 0; lane < lanes; lane++) {
          await a.publish("kit.message", { n }, { orderingKey: `lane-${lane}` });
        }
      }
      await context.until(() => handled >= lanes * each, () => `${lanes * each} handled; ${handled} were`);
      await context.within(Promise.all(subscriptions.map((each) => each.drain())), "the drains");
      assert.deepEqual(overlaps, [], "handlers of one key at the same time");
      assert.equal(seen.size, lanes);
      for (const [key, numbers] of seen) assert.deepEqual(numbers, range(each), `order of ${key}`);
    },
  },
  {
    name: "a retry holds its key back and no other",
    promise: 12,
    needs: ["ordering", "receive"],
    async run(context) {
      const { a, b } = context;
      for (const n of range(3)) await a.publish("kit.message", { n }, { orderingKey: "held" });
      for (const n of range(3, 10)) await a.publish("kit.message", { n }, { orderingKey: "free" });
      const order: string[] = [];
      const deliveries = await context.receive(b, 8, {}, async (delivery) => {
        const { payload: { n }, attempt } = delivery;
        order.push(`${n}.${attempt}`);
        if (n === 0 && attempt <= 2) await delivery.nack(context.capabilities.delay ? { delayMs: 200 } : {});
        else await delivery.ack();
      });
      assert.deepEqual(order.filter((run) => /^[012]\./.test(run)), ["0.1", "0.2", "0.3", "1.1", "2.1"]);
      const free = deliveries.map(({ payload }) => payload.n).filter((n) => n >= 10);
      assert.deepEqual(free, range(3, 10), "the other key, in order");
      if (context.capabilities.delay) assert.ok(order.indexOf("12.1") < order.indexOf("1.1"), "the other key went on");
    },
  },
  {
    name: "a dead letter frees its key",
    promise: 12,
    needs: ["ordering", "receive", "deadLetters"],
    async run(context) {
      const { a, b } = context;
      for (const n of range(3)) await a.publish("kit.message", { n }, { orderingKey: "k" });
      const deliveries = await context.receive(
        b,
        3,
        {},
        (delivery) => delivery.payload.n === 0 ? delivery.reject("unwanted") : delivery.ack(),
      );
      assert.deepEqual(deliveries.map(({ payload }) => payload.n), range(3));
      assert.equal((await a.deadLetters.list("default")).deadLetters[0]?.orderingKey, "k");
    },
  },
  {
    name: "a killed consumer's key stays in order",
    promise: 12,
    needs: ["ordering", "receive", "leases"],
    async run(context) {
      const { a, b } = context;
      for (const n of range(5)) await a.publish("kit.message", { n }, { orderingKey: "k" });
      const worker = await context.worker({ verb: "hold", prefetch: 1 });
      await context.until(() => worker.handed.length > 0, "the worker holds a message");
      assert.equal(worker.handed[0]?.payload.n, 0);
      await worker.kill();
      const deliveries = await context.receive(b, 5, { leaseMs: context.leaseMs });
      assert.deepEqual(deliveries.map(({ payload }) => payload.n), range(5));
      assert.equal(deliveries[0]?.attempt, 2);
    },
  },
  {
    name: "a held message of a key holds back the others of that key, whoever asks",
    promise: 12,
    needs: ["ordering", "receive"],
    async run(context) {
      const { a } = context;
      for (const n of range(2)) await a.publish("kit.message", { n }, { orderingKey: "k" });
      const { signal } = new AbortController();
      const holder = await context.receiver();
      const claims = await context.within(holder.pull({ max: 10, signal }), "a pull");
      assert.deepEqual(claims.map(numberOf), [0], "one message of a key at a time");
      const other = await context.receiver();
      const pulling = other.pull({ max: 10, signal });
      await a.publish("kit.message", { n: 5 });
      const free = await context.within(pulling, "a pull of another instance");
      assert.deepEqual(free.map(numberOf), [5], "only what has no such key");
      const [held] = claims;
      assert.ok(held !== undefined);
      await holder.settle([{ claim: held, verb: "ack" }]);
      await other.settle(free.map((claim) => ({ claim, verb: "ack" })));
      await other.close();
      await holder.close();
      each(await context.rest(a), [1], "once the key is free");
    },
  },
  {
    name: "without ordering, an ordering key is refused",
    promise: 12,
    lacks: "ordering",
    how: "refused",
    async run({ a }) {
      await refused("unsupported", () => a.publish("kit.message", { n: 0 }, { orderingKey: "k" }), "orderingKey");
    },
  },
];
