/**
 * Promise 8: a delay holds a message back on the broker, and nothing else.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { ConformanceCase } from "../case.ts";
import type { KitPayload } from "../worker.ts";
import { each, failure, misuse, range, refused } from "./expect.ts";

// Two clocks may be in play, the publisher's and the broker's, and both are read in whole milliseconds.
const slackMs = 25;

/** The cases. */
export const delayCases: readonly ConformanceCase[] = [
  {
    name: "a delayed message does not come before its time",
    promise: 8,
    needs: ["delay"],
    async run(context) {
      const delayMs = 400;
      const due = Date.now() + delayMs;
      await context.a.publish("kit.message", { n: 1 }, { delayMs });
      await context.a.publish("kit.message", { n: 0 });
      const taken: { n: number; at: number }[] = [];
      const consumer = context.b.consume<KitPayload>();
      while (taken.length < 2) taken.push({ n: (await context.next(consumer, "a message")).n, at: Date.now() });
      await context.leave(consumer);
      assert.deepEqual(taken.map(({ n }) => n), [0, 1], "what is not delayed overtakes");
      const at = taken[1]?.at ?? 0;
      assert.ok(at >= due - slackMs, `it came ${due - at} ms before its time`);
    },
  },
  {
    name: "many delays at once, none before its time and none lost",
    promise: 8,
    needs: ["delay", "receive"],
    async run(context) {
      const total = context.scaled(100);
      const start = Date.now();
      const due = range(total).map((n) => start + 100 + (n * 37) % 400);
      await Promise.all(due.map((deliverAt, n) => context.a.publish("kit.message", { n }, { deliverAt })));
      const early: string[] = [];
      const deliveries = await context.receive(context.b, total, {}, async (delivery) => {
        const before = (due[delivery.payload.n] ?? 0) - Date.now();
        if (before > slackMs) early.push(`${delivery.payload.n} by ${before} ms`);
        assert.equal(delivery.attempt, 1, "a delay is no attempt");
        await delivery.ack();
      });
      assert.deepEqual(early, [], "messages before their time");
      each(deliveries.map(({ payload }) => payload.n), range(total), "many delays");
    },
  },
  {
    name: "deliverAt takes dates, and one in the past delays nothing",
    promise: 8,
    needs: ["delay"],
    async run(context) {
      const due = Date.now() + 300;
      await context.a.publish("kit.message", { n: 1 }, { deliverAt: new Date(due) });
      await context.a.publish("kit.message", { n: 0 }, { deliverAt: Date.now() - 60_000 });
      assert.deepEqual(await context.take(context.b, 2), [0, 1]);
      assert.ok(Date.now() >= due - slackMs);
    },
  },
  {
    name: "a nack with a delay brings the message again, not before its time",
    promise: 8,
    needs: ["delay", "receive"],
    async run(context) {
      await context.publish(context.a, 1);
      let due = 0;
      await context.receive(context.a, 1, {}, async (delivery) => {
        due = Date.now() + 400;
        await delivery.nack({ delayMs: 400 });
      });
      // Meanwhile others go on.
      await context.publish(context.a, 1, { from: 1 });
      const deliveries = await context.receive(context.b, 2);
      assert.ok(Date.now() >= due - slackMs, "not before its time");
      assert.deepEqual(deliveries.map(({ payload, attempt }) => [payload.n, attempt]), [[1, 1], [0, 2]]);
    },
  },
  {
    name: "a delayed message occupies no lease and no consumer",
    promise: 8,
    needs: ["delay", "receive"],
    async run(context) {
      const { a, b } = context;
      for (const n of range(5)) await a.publish("kit.message", { n: 100 + n }, { delayMs: 60_000 });
      await context.publish(a, 5);
      // A prefetch of one is enough, however many are delayed.
      each(await context.rest(b, { prefetch: 1 }), range(5), "what is not delayed");
      if (!context.capabilities.stats) return;
      let seen = "";
      await context.until(async () => {
        const stats = (await a.stats()).groups.default;
        seen = JSON.stringify(stats);
        if (stats === undefined) return false;
        const { delayed, inFlight, ready, approximate } = stats;
        return inFlight === 0 && (approximate ? delayed >= 5 : delayed === 5 && ready === 0);
      }, () => `five delayed, none in flight; got ${seen}`);
    },
  },
  {
    name: "a delayed message reaches every group that it matches",
    promise: 8,
    needs: ["delay", "groups", "receive"],
    async run(context) {
      await context.a.groups.create("one");
      await context.a.groups.create("two");
      await context.a.publish("kit.message", { n: 7 }, { delayMs: 200, headers: { kind: "late" } });
      for (const group of ["one", "two"]) {
        const [delivery] = await context.receive(context.b, 1, { group });
        assert.equal(delivery?.payload.n, 7);
        assert.equal(delivery.key, "kit.message");
        assert.deepEqual({ ...delivery.headers }, { kind: "late" });
      }
    },
  },
  {
    name: "a delay outlives the instance that asked for it",
    promise: 8,
    needs: ["delay"],
    async run(context) {
      const queue = await context.open();
      const due = Date.now() + 300;
      await queue.publish("kit.message", { n: 1 }, { delayMs: 300 });
      await queue.close();
      assert.deepEqual(await context.take(context.b, 1), [1]);
      assert.ok(Date.now() >= due - slackMs);
    },
  },
  {
    name: "a delay survives a restart of the broker",
    promise: 8,
    needs: ["delay", "durable", "restart"],
    async run(context) {
      const due = Date.now() + 1_000;
      await context.a.publish("kit.message", { n: 1 }, { deliverAt: due });
      await context.restart();
      assert.deepEqual(await context.take(context.b, 1), [1]);
      assert.ok(Date.now() >= due - slackMs);
    },
  },
  {
    name: "wrong delays are refused",
    promise: 8,
    needs: ["delay"],
    async run({ a, capabilities }) {
      await misuse(() => a.publish("kit.message", { n: 0 }, { delayMs: -1 }), "a negative delay");
      await misuse(() => a.publish("kit.message", { n: 0 }, { delayMs: NaN }), "a delay that is no number");
      await misuse(() => a.publish("kit.message", { n: 0 }, { deliverAt: new Date(NaN) }), "a date that is none");
      await misuse(() => a.publish("kit.message", { n: 0 }, { delayMs: 1, deliverAt: 1 }), "two delays");
      if (!capabilities.ordering) return;
      const options = { delayMs: 1_000, orderingKey: "k" };
      await misuse(() => a.publish("kit.message", { n: 0 }, options), "a delay with an ordering key");
    },
  },
  {
    name: "without delay, asking for one is refused",
    promise: 8,
    lacks: "delay",
    how: "refused",
    async run(context) {
      const { a } = context;
      await refused("unsupported", () => a.publish("kit.message", { n: 0 }, { delayMs: 1_000 }), "delayMs");
      await refused("unsupported", () => a.publish("kit.message", { n: 0 }, { deliverAt: new Date() }), "deliverAt");
      const batch = [{ key: "kit.message", payload: { n: 0 }, delayMs: 1_000 }];
      await failure(() => a.publishMany(batch), "delayMs in a batch");
      each(await context.rest(a), [], "nothing was stored");
      if (context.capabilities.leases !== true) return;
      await context.publish(a, 1);
      const [delivery] = await context.receive(context.b, 1, {}, () => {});
      await refused("unsupported", () => delivery?.nack({ delayMs: 1_000 }), "a nack with a delay");
      await delivery?.ack();
    },
  },
];
