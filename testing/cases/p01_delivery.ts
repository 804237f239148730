/**
 * Promise 1: at least once; and that each arrives whole, once when nothing goes wrong, and nowhere else.
 *
 * @module
 */

import assert from "node:assert/strict";
import { MessageQueueError } from "../../mod.ts";
import type { ConformanceCase } from "../case.ts";
import type { KitPayload } from "../worker.ts";
import { each, failure, range } from "./expect.ts";

// Half of a surrogate pair is left out: JSON text escapes it, and a header that holds one is no text.
const strange = 'Zażółć \u0000\u001f\u007f\u2028 \u{1F980}\u200D\u{1F469} عربى 漢字 "quoted" \\ back\tslash {}:*#';

/** The cases. */
export const deliveryCases: readonly ConformanceCase[] = [
  {
    name: "what is published before the first consumer is delivered",
    promise: 1,
    async run(context) {
      await context.publish(context.a, 5);
      each(await context.take(context.b, 5), range(5), "published before anybody consumed");
    },
  },
  {
    name: "a waiting consumer gets what is published by another instance",
    promise: 1,
    async run(context) {
      const taking = context.take(context.b, 3);
      await context.publish(context.a, 3);
      each(await taking, range(3), "published while a consumer waited");
    },
  },
  {
    name: "publish resolves to the id that arrives",
    promise: 1,
    needs: ["receive"],
    async run(context) {
      const before = Date.now();
      const id = await context.a.publish("kit.message", { n: 1 });
      const [delivery] = await context.receive(context.b, 1);
      assert.equal(delivery?.id, id);
      assert.equal(delivery.key, "kit.message");
      assert.equal(delivery.group, "default");
      const published = delivery.publishedAt.getTime();
      assert.ok(published >= before - 1 && published <= Date.now() + 1, "publishedAt is the publisher's time");
    },
  },
  {
    name: "100 messages with headers arrive once each, across two consumers",
    promise: 1,
    needs: ["receive"],
    async run(context) {
      const { a, b } = context;
      const seen: number[] = [];
      const stop = new AbortController();
      const one = async (queue: typeof a) => {
        for await (const delivery of queue.receive<KitPayload>({ signal: stop.signal })) {
          assert.deepEqual(delivery.headers, { number: `${delivery.payload.n}`, kind: "kit" });
          await delivery.ack();
          if (seen.push(delivery.payload.n) === 100) stop.abort();
        }
      };
      const both = Promise.all([one(a), one(b)]);
      await Promise.all(
        range(100).map((n) => a.publish("kit.message", { n }, { headers: { number: `${n}`, kind: "kit" } })),
      );
      await context.within(both, "100 messages over two consumers");
      each(seen, range(100), "100 messages over two consumers");
      each(await context.rest(a), [], "after all were acked");
    },
  },
  {
    name: "thousands of messages over 50 consumers, none missing and none twice",
    promise: 1,
    async run(context) {
      const { a, b } = context;
      const total = context.scaled(5_000);
      const seen: number[] = [];
      const stop = new AbortController();
      const one = async (queue: typeof a) => {
        for await (const { n } of queue.consume<KitPayload>({ signal: stop.signal, prefetch: 10 })) {
          if (seen.push(n) === total) stop.abort();
        }
      };
      const all = Promise.all(range(50).map((n) => one(n % 2 === 0 ? a : b)));
      for (let n = 0; n < total; n += 500) await context.publishAtOnce(a, Math.min(500, total - n), { from: n });
      await context.within(all, `${total} messages over 50 consumers`).catch((error) => {
        stop.abort();
        throw new Error(`${seen.length} of ${total} came`, { cause: error });
      });
      each(seen, range(total), `${total} messages over 50 consumers`);
    },
  },
  {
    name: "20 keys at once, each complete",
    promise: 1,
    needs: ["keys", "groups", "receive"],
    async run(context) {
      const { a, b } = context;
      const keys = range(20).map((n) => `kit.key${n}`);
      await context.makeGroups(Object.fromEntries(keys.map((key, index) => [`only-${index}`, key])));
      const publishing = Promise.all(
        keys.flatMap((key, index) => range(20).map((n) => a.publish(key, { n: index * 20 + n }))),
      );
      await Promise.all(keys.map(async (key, index) => {
        const taken = await context.take(index % 2 === 0 ? a : b, 20, { group: `only-${index}`, keys: key });
        each(taken, range(20, index * 20), key);
      }));
      await publishing;
    },
  },
  {
    name: "many publishes in one tick all arrive",
    promise: 1,
    async run(context) {
      const total = context.scaled(1_000);
      await context.within(context.publishAtOnce(context.a, total), `${total} publishes in one tick`);
      each(await context.take(context.b, total), range(total), `${total} publishes in one tick`);
    },
  },
  {
    name: "nothing leaks from one exchange into another",
    promise: 1,
    async run(context) {
      const other = await context.open({ exchange: `${context.exchange}-other` });
      await context.publish(other, 5, { from: 100 });
      await context.publish(context.a, 5);
      each(await context.rest(context.b), range(5), "this exchange");
      each(await context.rest(other), range(5, 100), "the other exchange");
    },
  },
  {
    name: "ten exchanges at once, each complete",
    promise: 1,
    async run(context) {
      await Promise.all(
        range(10).map(async (number) => {
          const queue = await context.open({ exchange: `${context.exchange}-${number}` });
          const [, taken] = await Promise.all([
            context.publish(queue, 20, { from: number * 100 }),
            context.take(queue, 20),
          ]);
          each(taken, range(20, number * 100), `exchange ${number}`);
        }),
      );
    },
  },
  {
    name: "closing and opening again and again loses nothing",
    promise: 1,
    async run(context) {
      await context.publish(context.a, 30);
      const taken: number[] = [];
      for (let round = 0; round < 6; round++) {
        const queue = await context.open();
        taken.push(...await context.take(queue, 5));
        await queue.close();
      }
      each(taken, range(30), "taken by six instances, one after the other");
    },
  },
  {
    name: "ten closes at once leave the exchange usable",
    promise: 1,
    async run(context) {
      const queues = await Promise.all(range(10).map(() => context.open()));
      const waiting = queues.map((queue) => queue.consume<KitPayload>().next());
      await context.publish(context.a, 10, { from: 100 });
      await context.within(Promise.all(queues.map((queue) => queue.close())), "ten closes at once");
      await context.within(Promise.allSettled(waiting), "the waits of closed queues");
      await context.publish(context.a, 5);
      const rest = await context.rest(context.b);
      each(rest.filter((n) => n < 100), range(5), "published after the closes");
    },
  },
  {
    name: "closing a publisher during its publishes loses none that resolved",
    promise: 1,
    async run(context) {
      const total = context.scaled(10_000);
      const queue = await context.open();
      const resolved: number[] = [];
      const publishing = range(total).map(async (n) => {
        // Some before the close, some while it goes on, some after it.
        if (n % 3 === 1) await Promise.resolve();
        if (n % 3 === 2) await context.pass(0);
        await queue.publish("kit.message", { n });
        resolved.push(n);
      });
      const settled = Promise.allSettled(publishing);
      await context.within(queue.close(), "the close of a publisher");
      for (const { status, reason } of (await context.within(settled, "publishes around a close")) as Settled[]) {
        if (status === "fulfilled") continue;
        const known = reason instanceof MessageQueueError && (reason.code === "closed" || reason.code === "connection");
        assert.ok(known, `a publish around a close rejects with code closed, not ${reason}`);
      }
      const arrived = new Set(await context.rest(context.b, { prefetch: 100 }));
      assert.deepEqual(resolved.filter((n) => !arrived.has(n)), [], "publishes that resolved but did not arrive");
    },
  },
  {
    name: "what is stored outlives every instance that was open",
    promise: 1,
    needs: ["durable", "receive", "groups", "deadLetters", "delay", "dedup"],
    async run(context) {
      const { a, b } = context;
      await a.groups.create("kept", { maxAttempts: 7 });
      await context.publish(a, 3);
      await a.publish("kit.message", { n: 3 }, { delayMs: 300, headers: { kind: "late" } });
      await a.publish("kit.message", { n: 4 }, { id: "known" });
      await context.receive(
        b,
        2,
        { group: "kept", prefetch: 1 },
        (delivery) => delivery.payload.n === 0 ? delivery.reject("unwanted") : delivery.nack(),
      );
      await Promise.all([a.close(), b.close()]);
      const later = await context.open();
      const kept = (await later.groups.list()).find(({ name }) => name === "kept");
      assert.equal(kept?.maxAttempts, 7);
      assert.deepEqual((await later.deadLetters.list("kept")).deadLetters.map(({ reason }) => reason), ["unwanted"]);
      await later.publish("kit.message", { n: 5 }, { id: "known" });
      const deliveries = await context.receive(later, 4, { group: "kept" });
      each(deliveries.map(({ payload }) => payload.n), range(4, 1), "what was not done with");
      for (const { payload, attempt, headers } of deliveries) {
        assert.equal(attempt, payload.n === 1 ? 2 : 1, `attempt of ${payload.n}`);
        assert.deepEqual({ ...headers }, payload.n === 3 ? { kind: "late" } : {});
      }
    },
  },
  {
    name: "payloads arrive as they were sent",
    promise: 1,
    async run(context) {
      const { a, b } = context;
      const payloads: readonly object[] = [
        { strange, [strange]: 1 },
        { nested: { list: [1, [2, [3, { deep: null }]]], empty: {}, none: [] } },
        { numbers: [0, -1, 1.5, 1e21, 5e-324, Number.MAX_SAFE_INTEGER], flags: [true, false, null] },
        [1, "two", { three: 3 }],
        {},
        [],
        { big: "x".repeat(200_000) },
        JSON.parse('{"__proto__":{"polluted":true},"constructor":"data"}') as object,
      ];
      for (const payload of payloads) await a.publish("kit.message", payload);
      const consumer = b.consume();
      for (const payload of payloads) {
        assert.equal(JSON.stringify(await context.next(consumer, "a payload")), JSON.stringify(payload));
      }
      await context.leave(consumer);
    },
  },
  {
    name: "headers of any Unicode arrive as they were sent",
    promise: 1,
    needs: ["receive"],
    async run(context) {
      const headers = { [strange]: strange, "__proto__x": "1", plain: "", "case": "a", "Case": "A" };
      await context.a.publish("kit.message", { n: 1 }, { headers });
      const [delivery] = await context.receive(context.b, 1);
      assert.deepEqual({ ...delivery?.headers }, headers);
    },
  },
  {
    name: "a payload that is no JSON object or array is refused",
    promise: 1,
    async run({ a }) {
      const cycle: { self?: object } = {};
      cycle.self = cycle;
      for (const payload of [cycle, { big: 1n }, "text", null, undefined, new Date()]) {
        const error = await failure(() => a.publish("kit.message", payload as object), "a payload that is not JSON");
        assert.ok(error instanceof MessageQueueError && error.code === "invalid_payload", `${error}`);
      }
    },
  },
  {
    name: "a batch is stored whole, with the ids it resolves to",
    promise: 1,
    needs: ["receive"],
    async run(context) {
      const ids = await context.a.publishMany(
        range(100).map((n) => ({ key: "kit.batch", payload: { n }, headers: { n: `${n}` } })),
      );
      const deliveries = await context.receive(context.b, 100);
      each(deliveries.map((delivery) => delivery.payload.n), range(100), "a batch of 100");
      for (const { id, payload, headers, key } of deliveries) {
        assert.equal(id, ids[payload.n]);
        assert.equal(headers.n, `${payload.n}`);
        assert.equal(key, "kit.batch");
      }
      assert.deepEqual(await context.a.publishMany([]), []);
    },
  },
  {
    name: "a batch with a wrong message stores none of it",
    promise: 1,
    needs: ["receive"],
    async run(context) {
      const batch = [{ key: "kit.message", payload: { n: 1 } }, { key: "", payload: { n: 2 } }];
      await failure(() => context.a.publishMany(batch), "a batch with an empty key");
      each(await context.rest(context.b), [], "a batch that was refused");
    },
  },
  {
    name: "without batches of its own, a batch is published one by one",
    promise: 1,
    lacks: "receive",
    how: "emulated",
    async run(context) {
      const ids = await context.a.publishMany(range(10).map((n) => ({ key: "kit.message", payload: { n } })));
      assert.equal(new Set(ids).size, 10);
      each(await context.take(context.b, 10), range(10), "a batch of 10");
    },
  },
];

type Settled = { status: "fulfilled" | "rejected"; reason?: unknown };
