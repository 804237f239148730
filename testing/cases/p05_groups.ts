/**
 * Promise 5: groups. Every group gets every message that its keys match; inside a group each goes to one consumer.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Group, MessageQueueError } from "../../mod.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import type { KitPayload } from "../worker.ts";
import { each, failure, range, refused } from "./expect.ts";

async function find(context: CaseContext, name: string): Promise<Group | undefined> {
  return (await context.b.groups.list()).find((group) => group.name === name);
}

/** The cases. */
export const groupCases: readonly ConformanceCase[] = [
  {
    name: "every group gets every message, each of them once",
    promise: 5,
    needs: ["groups"],
    async run(context) {
      const { a, b } = context;
      const groups = ["billing", "mail", "audit"];
      await context.makeGroups({ billing: undefined, mail: undefined, audit: undefined });
      await context.publish(a, 30);
      await Promise.all(groups.map(async (group) => {
        // Two consumers of each group, on two instances, share its messages.
        const seen: number[] = [];
        const stop = new AbortController();
        const one = async (queue: typeof a) => {
          for await (const { n, marker } of queue.consume<KitPayload>({ group, signal: stop.signal, prefetch: 2 })) {
            if (marker !== undefined) continue;
            if (seen.push(n) === 30) stop.abort();
          }
        };
        await context.within(Promise.all([one(a), one(b)]), `30 messages for group ${group}`);
        each(seen, range(30), group);
      }));
      for (const group of groups) each(await context.rest(a, { group }), [], `the rest of ${group}`);
    },
  },
  {
    name: "who names no group is in the group default",
    promise: 5,
    needs: ["groups"],
    async run(context) {
      await context.publish(context.a, 4);
      const first = await context.take(context.a, 2);
      const second = await context.take(context.b, 2, { group: "default" });
      each([...first, ...second], range(4), "two takings of one group");
    },
  },
  {
    name: "two groups on one instance do not get in each other's way",
    promise: 5,
    needs: ["groups"],
    async run(context) {
      const { a } = context;
      await context.makeGroups({ one: undefined, two: undefined });
      const one = context.take(a, 10, { group: "one" });
      const two = context.take(a, 10, { group: "two" });
      await context.publish(context.b, 10);
      each(await one, range(10), "the first group");
      each(await two, range(10), "the second group");
    },
  },
  {
    name: "a retry hits only the group that failed",
    promise: 5,
    needs: ["groups", "receive"],
    async run(context) {
      await context.makeGroups({ failing: undefined, fine: undefined });
      await context.publish(context.a, 5);
      const failing = await context.receive(
        context.a,
        10,
        { group: "failing" },
        (delivery) => delivery.attempt === 1 ? delivery.nack() : delivery.ack(),
      );
      const fine = await context.receive(context.b, 5, { group: "fine" });
      assert.deepEqual(failing.map(({ attempt }) => attempt).sort(), [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
      assert.deepEqual(fine.map(({ attempt }) => attempt), [1, 1, 1, 1, 1]);
      each(await context.rest(context.a, { group: "fine" }), [], "the group that did not fail");
    },
  },
  {
    name: "a slow group neither blocks nor trims another",
    promise: 5,
    needs: ["groups"],
    async run(context) {
      const { a, b } = context;
      const total = context.scaled(500);
      await context.makeGroups({ slow: undefined, fast: undefined });
      const slow = a.consume<KitPayload>({ group: "slow" });
      await context.publish(b, 1);
      let first = await context.next(slow, "the slow group's first message");
      while (first.marker !== undefined) first = await context.next(slow, "the message behind the markers");
      assert.equal(first.n, 0);
      for (let n = 1; n < total; n += 100) await context.publishAtOnce(b, Math.min(100, total - n), { from: n });
      each(await context.take(b, total, { group: "fast" }), range(total), "the fast group");
      await context.leave(slow);
      each(await context.take(a, total, { group: "slow" }), range(total), "the slow group");
    },
  },
  {
    name: "a new group gets old messages when it starts at the earliest",
    promise: 5,
    needs: ["groups", "receive"],
    async run(context) {
      const { a, b } = context;
      // A group that has not acked holds them, so they are retained.
      await a.groups.create("holding");
      await context.publish(a, 5);
      await a.groups.create("late", { from: "earliest" });
      each(await context.take(b, 5, { group: "late" }), range(5), "a group made late");
    },
  },
  {
    name: "a new group gets only new messages when it starts at the latest",
    promise: 5,
    needs: ["groups", "receive"],
    async run(context) {
      const { a, b } = context;
      await a.groups.create("holding");
      await context.publish(a, 5);
      await b.groups.create("news", { from: "latest" });
      await context.publish(a, 5, { from: 5 });
      each(await context.rest(b, { group: "news" }), range(5, 5), "a group made for what is new");
      each(await context.rest(b, { group: "holding" }), range(10), "a group made before");
    },
  },
  {
    name: "subscribe resolves once the group exists",
    promise: 5,
    needs: ["groups", "receive"],
    async run(context) {
      const subscription = await context.a.subscribe(() => {}, { group: "made" });
      assert.equal((await find(context, "made"))?.name, "made");
      await context.within(subscription.drain(), "the drain");
      assert.ok(await find(context, "made") !== undefined, "the group outlives its consumer");
    },
  },
  {
    name: "a group outlives its consumers and keeps its place",
    promise: 5,
    needs: ["groups"],
    async run(context) {
      await context.publish(context.a, 4);
      const first = await context.open();
      each(await context.take(first, 2, { group: "durable" }), range(2), "the first consumer");
      await first.close();
      await context.publish(context.a, 2, { from: 4 });
      each(await context.take(context.b, 4, { group: "durable" }), range(4, 2), "the second consumer");
    },
  },
  {
    name: "groups are made, listed, changed and removed",
    promise: 5,
    needs: ["groups", "receive"],
    async run(context) {
      const { a, b } = context;
      await a.groups.create("one");
      await a.groups.create("one");
      await b.groups.create("two", { maxAttempts: 3 });
      const names = (await b.groups.list()).map((group) => group.name);
      assert.deepEqual(names.filter((name) => name !== "default"), ["one", "two"]);
      const one = await find(context, "one");
      assert.deepEqual({ keys: one?.keys, maxAttempts: one?.maxAttempts }, { keys: "#", maxAttempts: 10 });
      assert.equal((await find(context, "two"))?.maxAttempts, 3);
      await a.groups.update("two", { maxAttempts: 4 });
      assert.equal((await find(context, "two"))?.maxAttempts, 4);
      await a.groups.delete("one");
      assert.equal(await find(context, "one"), undefined);
      await refused("not_found", () => a.groups.delete("one"), "removing a group that is gone");
      await refused("not_found", () => a.groups.update("one", { maxAttempts: 2 }), "changing a group that is gone");
      await refused("group_conflict", async () => {
        await a.groups.create("three", { keys: "order.*" });
        await b.groups.create("three", { keys: "user.*" });
      }, "another filter").catch((error) => {
        if (context.capabilities.keys) throw error;
      });
    },
  },
  {
    name: "another filter than the stored one is refused, and none means the stored one",
    promise: 5,
    needs: ["groups", "keys", "receive"],
    async run(context) {
      const { a, b } = context;
      await a.groups.create("orders", { keys: "order.*" });
      await a.publish("order.made", { n: 1 });
      await a.publish("user.made", { n: 2 });
      await refused("group_conflict", () => b.consume({ group: "orders", keys: "user.*" }).next(), "consume");
      await refused("group_conflict", () => b.receive({ group: "orders", keys: "#" }).next(), "receive");
      await refused("group_conflict", () => b.subscribe(() => {}, { group: "orders", keys: "order.#" }), "subscribe");
      each(await context.rest(b, { group: "orders", key: "order.marker" }), [1], "without a filter");
      await a.publish("order.paid", { n: 3 });
      each(await context.take(b, 1, { group: "orders", keys: "order.*" }), [3], "with the stored filter");
    },
  },
  {
    name: "a changed filter holds for what is claimed from then on",
    promise: 5,
    needs: ["groups", "keys", "receive"],
    async run(context) {
      const { a, b } = context;
      await a.groups.create("watch", { keys: "order.*" });
      await a.publish("order.made", { n: 1 });
      await a.publish("user.made", { n: 2 });
      await a.groups.update("watch", { keys: "user.*" });
      each(await context.rest(b, { group: "watch", key: "user.marker" }), [2], "after the change");
      assert.equal((await find(context, "watch"))?.keys, "user.*");
    },
  },
  {
    name: "a removed group can be made again and is new",
    promise: 5,
    needs: ["groups", "receive", "deadLetters"],
    async run(context) {
      const { a, b } = context;
      await a.groups.create("again");
      await context.publish(a, 1);
      await context.receive(b, 1, { group: "again" }, (delivery) => delivery.reject("gone"));
      await a.groups.delete("again");
      assert.deepEqual((await b.deadLetters.list("again")).deadLetters, [], "its dead letters went with it");
      await a.groups.create("again", { from: "latest" });
      await context.publish(a, 2, { from: 10 });
      each(await context.rest(b, { group: "again" }), range(2, 10), "the new group");
    },
  },
  {
    name: "a group with expiresMs vanishes without consumers and stays with one",
    promise: 5,
    needs: ["groups", "receive", "expiry"],
    async run(context) {
      const { a, b } = context;
      const expiresMs = 1_000;
      await a.groups.create("watched", { expiresMs });
      const watching = b.receive<KitPayload>({ group: "watched" });
      const next = watching.next();
      await context.until(async () => await find(context, "watched") !== undefined, "the group is made");
      // On a slow machine it may have vanished before its consumer came, who then made one that stays.
      await a.groups.update("watched", { expiresMs });
      await a.groups.create("left", { expiresMs });
      await context.until(async () => await find(context, "left") === undefined, "the group without consumers is gone");
      const end = Date.now() + expiresMs;
      await context.until(() => Date.now() > end, "as long again");
      assert.ok(await find(context, "watched") !== undefined, "the group with a consumer is still there");
      await context.publish(a, 1);
      const { value } = await context.within(next, "a message for the group with a consumer");
      await value?.ack();
      await context.leave(watching);
      await context.until(async () => await find(context, "watched") === undefined, "the group that was left is gone");
    },
  },
  {
    name: "without groups, naming one is refused",
    promise: 5,
    lacks: "groups",
    how: "refused",
    async run({ a }) {
      await refused("unsupported", () => a.consume({ group: "billing" }).next(), "consume");
      await refused("unsupported", () => a.receive({ group: "billing" }).next(), "receive");
      await refused("unsupported", () => a.subscribe(() => {}, { group: "billing" }), "subscribe");
      await refused("unsupported", () => a.groups.create("billing"), "groups.create");
      await refused("unsupported", () => a.groups.list(), "groups.list");
    },
  },
  {
    name: "without expiry, expiresMs is refused",
    promise: 5,
    lacks: "expiry",
    how: "refused",
    async run({ a }) {
      const error = await failure(() => a.groups.create("billing", { expiresMs: 1_000 }), "expiresMs");
      assert.ok(error instanceof MessageQueueError && error.code === "unsupported", `${error}`);
    },
  },
];
