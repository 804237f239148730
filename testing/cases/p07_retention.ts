/**
 * Promise 7: nothing unacked is dropped, what all have acked is, and bounds that were set hold.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { ConformanceCase } from "../case.ts";
import { each, failure, range, refused } from "./expect.ts";
import { MessageQueueError } from "../../mod.ts";

/** The cases. */
export const retentionCases: readonly ConformanceCase[] = [
  {
    name: "trimming under a backlog drops nothing that a group has not acked",
    promise: 7,
    needs: ["retention", "groups", "receive"],
    async run(context) {
      const { a, b } = context;
      const total = context.scaled(2_000);
      await a.groups.create("slow");
      await a.groups.create("fast");
      for (let n = 0; n < total; n += 500) {
        const count = Math.min(500, total - n);
        await context.publishAtOnce(a, count, { from: n });
        each(await context.take(b, count, { group: "fast" }), range(count, n), "the fast group");
      }
      each(await context.take(b, total, { group: "slow" }), range(total), "the slow group");
    },
  },
  {
    name: "nothing is dropped while no group exists",
    promise: 7,
    needs: ["retention"],
    async run(context) {
      const total = context.scaled(1_000);
      await context.publishAtOnce(context.a, total);
      each(await context.take(context.b, total), range(total), "published before any group");
    },
  },
  {
    name: "the size of a steady queue stays bounded",
    promise: 7,
    needs: ["retention", "stats"],
    async run(context) {
      const { a, b } = context;
      const batch = 250;
      const most: number[] = [];
      // Twenty rounds leave 5,000 behind if nothing is ever dropped; bounded steps may lag by some.
      for (let round = 0; round < 20; round++) {
        await context.publishAtOnce(a, batch);
        await context.take(b, batch);
        most.push((await a.stats()).retained);
      }
      const limit = 10 * batch;
      await context.until(async () => (await a.stats()).retained <= limit, () => `at most ${limit} retained: ${most}`);
    },
  },
  {
    name: "a held message is not trimmed with the acked ones around it",
    promise: 7,
    needs: ["retention", "receive"],
    async run(context) {
      const { a, b } = context;
      await context.publish(a, 1);
      const receiver = await context.receiver();
      const [held] = await context.within(receiver.pull({ max: 1, signal: new AbortController().signal }), "a pull");
      assert.ok(held !== undefined);
      const total = context.scaled(2_000);
      for (let n = 1; n < total; n += 500) {
        const count = Math.min(500, total - n);
        await context.publishAtOnce(a, count, { from: n });
        each(await context.take(b, count), range(count, n), "the messages around it");
      }
      assert.deepEqual(await receiver.settle([{ claim: held, verb: "nack", delayMs: 0 }]), [true]);
      each(await context.rest(a), [0], "the message that was held");
    },
  },
  {
    name: "beyond maxLength publish is refused with full, and works again when there is room",
    promise: 7,
    needs: ["retention", "receive", "openBounded"],
    async run(context) {
      const settings = { maxLength: 10 };
      const queue = await context.open({ settings });
      const other = await context.open({ settings });
      await context.publish(queue, 10);
      await refused("full", () => queue.publish("kit.message", { n: 10 }), "the eleventh message");
      const error = await failure(() => queue.publishMany([{ key: "kit.message", payload: { n: 11 } }]), "a batch");
      assert.ok(error instanceof MessageQueueError, `${error}`);
      each(await context.take(other, 10), range(10), "the ten that were stored");
      // Room may come in steps, once what was acked is dropped.
      await context.until(async () => {
        try {
          await queue.publish("kit.message", { n: 12 });
          return true;
        } catch (reason) {
          if (reason instanceof MessageQueueError && reason.code === "full") return false;
          throw reason;
        }
      }, "room for one more");
      each(await context.take(other, 1), [12], "published when there was room");
    },
  },
  {
    name: "a batch that does not fit stores none of it",
    promise: 7,
    needs: ["atomicBatch", "retention", "receive", "openBounded"],
    async run(context) {
      const settings = { maxLength: 10 };
      const queue = await context.open({ settings });
      await context.publish(queue, 5);
      const batch = range(6, 5).map((n) => ({ key: "kit.message", payload: { n } }));
      await refused("full", () => queue.publishMany(batch), "a batch of six where five fit");
      await queue.publishMany(batch.slice(0, 5));
      each(await context.take(await context.open({ settings }), 10), range(10), "five and the five that fit");
    },
  },
  {
    name: "what waits or is delayed counts towards maxLength",
    promise: 7,
    needs: ["retention", "receive", "delay", "openBounded"],
    async run(context) {
      const queue = await context.open({ settings: { maxLength: 4 } });
      await context.publish(queue, 2);
      await queue.publish("kit.message", { n: 2 }, { delayMs: 60_000 });
      // One that was nacked and waits for its next attempt.
      await context.receive(queue, 1, {}, (delivery) => delivery.nack({ delayMs: 60_000 }));
      await context.publish(queue, 1, { from: 3 });
      await refused("full", () => queue.publish("kit.message", { n: 4 }), "the fifth message");
    },
  },
  {
    name: "what is older than maxAgeMs becomes a dead letter, reason expired",
    promise: 7,
    needs: ["retention", "receive", "deadLetters", "openBounded"],
    async run(context) {
      const maxAgeMs = 1_500;
      const queue = await context.open({ settings: { maxAgeMs } });
      await queue.groups.create("late");
      const [old] = await context.publish(queue, 1);
      const end = Date.now() + maxAgeMs + 100;
      await context.until(() => Date.now() > end, "the message is too old");
      await context.publish(queue, 1, { from: 1 });
      const other = await context.open({ settings: { maxAgeMs } });
      const taken = await context.take(other, 1, { group: "late", prefetch: 1 });
      assert.deepEqual(taken, [1], "the fresh one is delivered");
      await context.until(async () => (await other.deadLetters.list("late")).deadLetters.length > 0, "a dead letter");
      const { deadLetters } = await other.deadLetters.list("late");
      assert.deepEqual(deadLetters.map(({ id, reason }) => ({ id, reason })), [{ id: old, reason: "expired" }]);
    },
  },
];
