/**
 * Promise 9: dead letters belong to a group, keep what is known about them, and can be replayed.
 *
 * @module
 */

import assert from "node:assert/strict";
import { message } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import type { KitPayload } from "../worker.ts";
import { each, range, refused } from "./expect.ts";

/** The cases. */
export const deadLetterCases: readonly ConformanceCase[] = [
  {
    name: "a rejected message is a dead letter with all that is known about it",
    promise: 9,
    needs: ["deadLetters", "receive"],
    async run(context) {
      const { a, b } = context;
      const before = Date.now();
      const id = await a.publish("kit.bad", { n: 1 }, { headers: { trace: "abc" } });
      await context.receive(b, 1, {}, (delivery) => delivery.nack({ reason: "not yet" }));
      await context.receive(b, 1, {}, (delivery) => delivery.reject("unwanted"));
      const { deadLetters, cursor } = await a.deadLetters.list("default");
      assert.equal(deadLetters.length, 1);
      assert.equal(cursor, undefined);
      const [letter] = deadLetters;
      assert.ok(letter !== undefined);
      assert.equal(letter.id, id);
      assert.equal(letter.key, "kit.bad");
      assert.deepEqual(letter.payload, { n: 1 });
      assert.deepEqual({ ...letter.headers }, { trace: "abc" });
      assert.equal(letter.group, "default");
      assert.equal(letter.reason, "unwanted");
      assert.equal(letter.attempts, 2);
      const slackMs = 1_000;
      assert.ok(letter.publishedAt >= before - slackMs && letter.publishedAt <= Date.now() + slackMs, "publishedAt");
      assert.ok(letter.deadAt >= before - slackMs && letter.deadAt <= Date.now() + slackMs, "deadAt");
      assert.deepEqual(await a.deadLetters.get("default", id), letter);
      assert.equal(await a.deadLetters.get("default", "no such id"), undefined);
      each(await context.rest(b), [], "it has left the group");
    },
  },
  {
    name: "after its last attempt a message is a dead letter with its last error",
    promise: 9,
    needs: ["deadLetters", "receive", "groups"],
    async run(context) {
      const { a, b } = context;
      await a.groups.create("strict", { maxAttempts: 3 });
      await a.groups.create("other");
      const [id] = await context.publish(a, 1);
      const attempts: number[] = [];
      await context.receive(b, 3, { group: "strict" }, async (delivery) => {
        attempts.push(delivery.attempt);
        await delivery.nack({ reason: `failure ${delivery.attempt}` });
      });
      assert.deepEqual(attempts, [1, 2, 3]);
      const { deadLetters } = await a.deadLetters.list("strict");
      assert.deepEqual(
        deadLetters.map(({ id, reason, error, attempts }) => ({ id, reason, error, attempts })),
        [{ id, reason: "exhausted", error: "failure 3", attempts: 3 }],
      );
      each(await context.rest(b, { group: "strict" }), [], "it has left the group");
      each(await context.rest(b, { group: "other" }), [0], "another group has it as it was");
    },
  },
  {
    name: "a handler that fails for good leaves a dead letter with its error",
    promise: 9,
    needs: ["deadLetters", "receive"],
    async run(context) {
      const { a, b } = context;
      const id = await a.publish("kit.message", { n: 1 });
      const told: string[] = [];
      const subscription = await b.subscribe<KitPayload>(({ attempt }) => {
        throw new Error(`broken ${attempt}`);
      }, {
        retry: ({ attempt }) => attempt < 3 ? 0 : null,
        onError: (error) => void told.push(error instanceof Error ? error.message : String(error)),
      });
      await context.until(async () => (await a.deadLetters.list("default")).deadLetters.length > 0, "a dead letter");
      await context.within(subscription.drain(), "the drain");
      const letter = await a.deadLetters.get("default", id);
      assert.equal(letter?.error, "broken 3");
      assert.equal(letter.attempts, 3);
      assert.deepEqual(told, ["broken 1", "broken 2", "broken 3"], "what the hook was told");
      assert.ok(context.logged.some((line) => line.includes("broken 1")), "what was logged");
    },
  },
  {
    name: "maxAttempts holds in consume as well",
    promise: 9,
    needs: ["deadLetters", "receive", "groups"],
    async run(context) {
      const { a, b } = context;
      await a.groups.create("loop", { maxAttempts: 3 });
      const id = await a.publish("kit.message", { n: 1 });
      for (let round = 0; round < 3; round++) {
        const consumer = b.consume<KitPayload>({ group: "loop" });
        assert.equal((await context.next(consumer, `attempt ${round + 1}`)).n, 1);
        await context.leave(consumer);
      }
      each(await context.rest(b, { group: "loop" }), [], "after three attempts");
      const { deadLetters } = await a.deadLetters.list("loop");
      assert.deepEqual(deadLetters.map(({ id, reason }) => ({ id, reason })), [{ id, reason: "exhausted" }]);
    },
  },
  {
    name: "undecodable bytes are dead letters and do not stall their neighbours",
    promise: 9,
    needs: ["deadLetters", "receive"],
    async run(context) {
      const { a, b } = context;
      const backend = await context.openBackend();
      const bad = ["not json", "", '"text"', "17", "{", "\u0000\u0001"].map((body) => message(0, { body }));
      const good = range(6).map((n) => message(n));
      await backend.publishMany(good.flatMap((each, index) => [bad[index] ?? each, each]));
      each(await context.rest(b), range(6), "the neighbours");
      const { deadLetters } = await a.deadLetters.list("default");
      each(deadLetters.map(({ id }) => bad.findIndex((each) => each.id === id)), range(6), "the undecodable");
      for (const { reason, body, id } of deadLetters) {
        assert.equal(reason, "undecodable");
        assert.equal(body, bad.find((each) => each.id === id)?.body, "its body is kept");
      }
    },
  },
  {
    name: "a dead letter keeps bytes that no codec reads",
    promise: 9,
    needs: ["deadLetters", "receive", "codecs"],
    async run(context) {
      const { a, b } = context;
      const backend = await context.openBackend();
      const contentType = "application/x-kit-unknown";
      const bad = message(0, { body: Uint8Array.from(range(256)), contentType });
      await backend.publishMany([bad, message(1)]);
      each(await context.rest(b), [1], "its neighbour");
      const letter = await a.deadLetters.get("default", bad.id);
      assert.equal(letter?.reason, "undecodable");
      assert.equal(letter.contentType, contentType);
      assert.ok(letter.body instanceof Uint8Array);
      assert.deepEqual([...letter.body], range(256));
      assert.equal(await a.deadLetters.replay("default", [bad.id]), 1);
      each(await context.rest(b), [], "it is undecodable again");
      assert.equal((await a.deadLetters.get("default", bad.id))?.contentType, contentType, "after a replay as well");
    },
  },
  {
    name: "dead letters are listed page by page, oldest first, each once",
    promise: 9,
    needs: ["deadLetters", "receive"],
    async run(context) {
      const { a, b } = context;
      const ids = await context.publish(a, 25);
      await context.receive(b, 25, { prefetch: 1 }, (delivery) => delivery.reject("unwanted"));
      const seen: string[] = [];
      let cursor: string | undefined;
      let pages = 0;
      do {
        const page = await a.deadLetters.list("default", { limit: 10, ...(cursor !== undefined && { cursor }) });
        assert.ok(page.deadLetters.length <= 10);
        seen.push(...page.deadLetters.map(({ id }) => id));
        cursor = page.cursor;
        assert.ok(++pages <= 4, "pages come to an end");
      } while (cursor !== undefined);
      assert.deepEqual(seen, ids);
    },
  },
  {
    name: "a replay goes to that group alone, with attempts from 1, and only once",
    promise: 9,
    needs: ["deadLetters", "receive", "groups"],
    async run(context) {
      const { a, b } = context;
      await a.groups.create("failing", { maxAttempts: 2 });
      await a.groups.create("fine");
      const ids = await context.publish(a, 5);
      await context.receive(b, 10, { group: "failing" }, (delivery) => delivery.nack());
      await context.take(b, 5, { group: "fine" });
      const some = ids.slice(0, 2);
      assert.equal(await a.deadLetters.replay("failing", some), 2);
      assert.equal(await b.deadLetters.replay("failing", some), 0, "the same replay again");
      const [three, none] = await Promise.all([a.deadLetters.replay("failing"), b.deadLetters.replay("failing")]);
      assert.equal(three + none, 3, "two replays at once share the rest");
      assert.deepEqual((await a.deadLetters.list("failing")).deadLetters, []);
      const again = await context.receive(b, 5, { group: "failing" });
      each(again.map(({ payload }) => payload.n), range(5), "replayed");
      for (const { id, attempt, payload } of again) {
        assert.equal(attempt, 1);
        assert.equal(id, ids[payload.n]);
      }
      each(await context.rest(b, { group: "failing" }), [], "each once");
      each(await context.rest(b, { group: "fine" }), [], "the other group");
    },
  },
  {
    name: "a purge removes dead letters, all or some",
    promise: 9,
    needs: ["deadLetters", "receive"],
    async run(context) {
      const { a, b } = context;
      const ids = await context.publish(a, 5);
      await context.receive(b, 5, {}, (delivery) => delivery.reject("unwanted"));
      assert.equal(await a.deadLetters.purge("default", ids.slice(0, 2)), 2);
      assert.equal(await a.deadLetters.purge("default", ids.slice(0, 2)), 0);
      assert.equal((await a.deadLetters.list("default")).deadLetters.length, 3);
      assert.equal(await b.deadLetters.purge("default"), 3);
      assert.deepEqual((await a.deadLetters.list("default")).deadLetters, []);
      assert.equal(await a.deadLetters.replay("default"), 0);
      each(await context.rest(b), [], "what was purged does not come again");
    },
  },
  {
    name: "a group that does not exist has no dead letters",
    promise: 9,
    needs: ["deadLetters", "receive", "groups"],
    async run({ a }) {
      assert.deepEqual((await a.deadLetters.list("nobody")).deadLetters, []);
      assert.equal(await a.deadLetters.get("nobody", "id"), undefined);
      assert.equal(await a.deadLetters.replay("nobody"), 0);
      assert.equal(await a.deadLetters.purge("nobody"), 0);
    },
  },
  {
    name: "without dead letters, looking for them is refused",
    promise: 9,
    lacks: "deadLetters",
    how: "refused",
    async run({ a }) {
      await refused("unsupported", () => a.deadLetters.list("default"), "list");
      await refused("unsupported", () => a.deadLetters.get("default", "id"), "get");
      await refused("unsupported", () => a.deadLetters.replay("default"), "replay");
      await refused("unsupported", () => a.deadLetters.purge("default"), "purge");
    },
  },
  {
    name: "without dead letters, they go to the queue that was named for them",
    promise: 9,
    lacks: "deadLetters",
    how: "emulated",
    async run(context) {
      const graveyard = await context.open({ exchange: `${context.exchange}-dead` });
      const queue = await context.open({ deadLetters: graveyard });
      await context.a.publish("kit.message", { n: 1 });
      await context.a.publish("kit.message", { n: 2 });
      let handled = 0;
      const subscription = await queue.subscribe<KitPayload>(({ payload }) => {
        if (payload.n === 1) throw new Error("broken for good");
        handled++;
      }, { retry: ({ attempt }) => attempt < 2 ? 0 : null });
      await context.until(() => handled === 1, "the message behind the failing one");
      await context.within(subscription.drain(), "the drain");
      const seen: unknown[] = [];
      const burying = await graveyard.subscribe<KitPayload>(({ payload, headers }) => {
        seen.push([payload, headers["abe-mq-attempts"], headers["abe-mq-error"]]);
      });
      await context.until(() => seen.length > 0, "the dead letter");
      await context.within(burying.drain(), "the drain");
      assert.deepEqual(seen, [[{ n: 1 }, "2", "broken for good"]]);
      each(await context.rest(context.b), [], "after all were handled");
    },
  },
  {
    name: "without dead letters and a queue for them, an exhausted message stops the subscription with an error",
    promise: 9,
    lacks: "deadLetters",
    how: "refused",
    async run(context) {
      await context.publish(context.a, 1);
      const queue = await context.open();
      const subscription = await queue.subscribe<KitPayload>(() => {
        throw new Error("broken for good");
      }, { retry: () => null });
      await refused("exhausted", () => context.within(subscription.closed, "the end of the subscription"), "the end");
      await queue.close();
      each(await context.rest(context.b), [0], "the message is not lost");
    },
  },
];
