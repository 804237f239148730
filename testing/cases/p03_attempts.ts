/**
 * Promise 3: what counts as an attempt and what does not, and that a poison message costs its neighbours nothing.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Claim } from "../../mod.ts";
import type { ConformanceCase } from "../case.ts";
import type { KitPayload } from "../worker.ts";
import { each, numberOf, range } from "./expect.ts";

/** The cases. */
export const attemptCases: readonly ConformanceCase[] = [
  {
    name: "a nack costs an attempt and brings the message again",
    promise: 3,
    needs: ["receive"],
    async run(context) {
      const id = await context.a.publish("kit.message", { n: 0 }, { headers: { kind: "kit" } });
      for (const attempt of [1, 2, 3]) {
        const queue = attempt % 2 === 0 ? context.a : context.b;
        const [delivery] = await context.receive(queue, 1, {}, (each) => each.nack());
        assert.equal(delivery?.id, id);
        assert.equal(delivery.attempt, attempt);
        assert.deepEqual({ ...delivery.headers }, { kind: "kit" }, "headers come again as well");
      }
    },
  },
  {
    name: "hundreds of nacks are all delivered later, with attempt 2",
    promise: 3,
    needs: ["receive"],
    async run(context) {
      const total = context.scaled(200);
      await context.publishAtOnce(context.a, total);
      const attempts = new Map<number, number[]>();
      let acked = 0;
      const stop = new AbortController();
      const one = async (queue: typeof context.a) => {
        for await (const delivery of queue.receive<KitPayload>({ signal: stop.signal, prefetch: 20 })) {
          const { n } = delivery.payload;
          const seen = attempts.get(n) ?? [];
          attempts.set(n, [...seen, delivery.attempt]);
          if (seen.length === 0) await delivery.nack();
          else {
            await delivery.ack();
            if (++acked === total) stop.abort();
          }
        }
      };
      await context.within(Promise.all([one(context.a), one(context.b)]), `${total} nacks and acks`);
      assert.deepEqual([...attempts.keys()].sort((a, b) => a - b), range(total));
      for (const [n, seen] of attempts) assert.deepEqual(seen, [1, 2], `attempts of message ${n}`);
      each(await context.rest(context.b), [], "after all were acked");
    },
  },
  {
    name: "break costs the payload in hand an attempt, and what was prefetched none",
    promise: 3,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 10);
      const queue = await context.open();
      for await (const _ of queue.consume({ prefetch: 10 })) break;
      await queue.close();
      const deliveries = await context.receive(context.b, 10);
      const attempts = new Map(deliveries.map(({ payload, attempt }) => [payload.n, attempt]));
      assert.equal(attempts.size, 10, "ten different messages");
      assert.deepEqual(
        range(10).map((n) => attempts.get(n)),
        [2, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        "attempts after a break with the first in hand",
      );
    },
  },
  {
    name: "what an abort or a close gives back costs no attempt",
    promise: 3,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 12);
      const taken: number[] = [];
      for (const how of ["abort", "close"]) {
        const queue = await context.open();
        const stop = new AbortController();
        const consumer = queue.receive<KitPayload>({ prefetch: 6, signal: stop.signal });
        const delivery = await context.next(consumer, "a delivery");
        taken.push(delivery.payload.n);
        await delivery.ack();
        if (how === "abort") {
          stop.abort();
          assert.equal((await context.within(consumer.next(), "the end after an abort")).done, true);
        }
        await context.within(queue.close(), "a close");
      }
      const deliveries = await context.receive(context.b, 10);
      each([...taken, ...deliveries.map(({ payload }) => payload.n)], range(12), "acked and given back");
      assert.deepEqual(deliveries.map(({ attempt }) => attempt), range(10).map(() => 1), "attempts");
    },
  },
  {
    name: "a driver's release costs no attempt",
    promise: 3,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 1);
      const receiver = await context.receiver();
      const { signal } = new AbortController();
      for (let round = 0; round < 12; round++) {
        const [claim] = await context.within(receiver.pull({ max: 1, signal }), "a pull");
        assert.equal(claim?.attempt, 1, `attempt after ${round} releases`);
        assert.deepEqual(await receiver.settle([{ claim, verb: "release" }]), [true]);
      }
    },
  },
  {
    name: "a driver hands out what was delivered before one at a time",
    promise: 3,
    needs: ["receive"],
    async run(context) {
      const { a } = context;
      await context.publish(a, 6);
      const receiver = await context.receiver();
      const { signal } = new AbortController();
      const claims: Claim[] = [];
      while (claims.length < 6) {
        claims.push(...await context.within(receiver.pull({ max: 6, signal }), "a pull of what is fresh"));
      }
      await receiver.settle(claims.slice(0, 4).map((claim) => ({ claim, verb: "nack", delayMs: 0 })));
      await receiver.settle(claims.slice(4).map((claim) => ({ claim, verb: "release" })));
      await context.publish(a, 4, { from: 6 });
      let again = 0;
      const seen: number[] = [];
      while (seen.length < 10) {
        const batch = await context.within(receiver.pull({ max: 10, signal }), "a pull of what was nacked");
        for (const claim of batch) {
          const { attempt } = claim;
          if (attempt > 1) again++;
          assert.ok(attempt === 1 || batch.length === 1, `attempt ${attempt} came with ${batch.length - 1} others`);
          seen.push(numberOf(claim));
        }
        await receiver.settle(batch.map((claim) => ({ claim, verb: "ack" })));
      }
      assert.equal(again, 4, "messages that were nacked");
      each(seen, range(10), "pulled again, and fresh ones");
    },
  },
  {
    name: "one poison message among fifty prefetched is the only one dead-lettered",
    promise: 3,
    needs: ["receive", "leases", "deadLetters"],
    async run(context) {
      const { a, b } = context;
      const innocents = 50;
      const maxAttempts = 3;
      const leaseMs = Math.min(context.leaseMs, 1_000);
      await a.groups.create("workers", { maxAttempts });
      const poison = await a.publish("kit.poison", { n: -9, poison: true } satisfies KitPayload);
      await context.publishAtOnce(a, innocents);
      // A handler whose ack was cut off by the death beside it may run again, so a set.
      const handled = new Set<number>();
      let deaths = 0;
      const dead = async () => (await b.deadLetters.list("workers", { limit: 100 })).deadLetters;
      // One worker after the other, each in place of the one that was killed.
      while (deaths <= maxAttempts + 2) {
        const worker = await context.worker({ verb: "handle", group: "workers", leaseMs, prefetch: innocents + 1 });
        const ended = worker.ended.then(() => true);
        let died = false;
        await context.until(
          async () => {
            died ||= await Promise.race([ended, Promise.resolve(false)]);
            for (const { payload } of worker.handed) if (payload.poison !== true) handled.add(payload.n);
            return died || handled.size === innocents && (await dead()).length > 0;
          },
          () => `the death of worker ${deaths}, or the end of its work; ${handled.size} were handled`,
        );
        if (!died) break;
        deaths++;
      }
      const letters = await dead();
      assert.deepEqual(letters.map((letter) => letter.id), [poison], "only the poison is a dead letter");
      assert.equal(letters[0]?.reason, "exhausted");
      assert.ok(deaths <= maxAttempts, `the poison killed ${deaths} workers with ${maxAttempts} attempts`);
      assert.deepEqual([...handled].sort((x, y) => x - y), range(innocents), "every innocent was handled");
    },
  },
];
