/**
 * Promise 2: asking for the next payload acks the last one, and whatever else ends the iteration releases it.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Delivery, MessageQueue } from "../../mod.ts";
import type { ConformanceCase } from "../case.ts";
import type { KitPayload } from "../worker.ts";
import { each, failure, numberOf, range, refused } from "./expect.ts";

// Ways to leave a loop over payloads with the `at`-th in hand; each returns the numbers that were acked, and says whether that one was.
type Leave = (queue: MessageQueue, at: number) => Promise<{ acked: number[] }>;

const leaveByBreak: Leave = async (queue, at) => {
  const seen: number[] = [];
  for await (const { n } of queue.consume<KitPayload>()) {
    if (seen.push(n) === at) break;
  }
  return { acked: seen.slice(0, -1) };
};

const leaveByThrow: Leave = async (queue, at) => {
  const seen: number[] = [];
  const body = async () => {
    for await (const { n } of queue.consume<KitPayload>()) {
      if (seen.push(n) === at) throw new Error("thrown by the body");
    }
  };
  const error = await failure(body, "a body that throws");
  assert.match(String(error), /thrown by the body/);
  return { acked: seen.slice(0, -1) };
};

const leaveByReturn: Leave = async (queue, at) => {
  const seen: number[] = [];
  const consumer = queue.consume<KitPayload>();
  while (seen.length < at) seen.push(await nextNumber(consumer));
  await consumer.return?.();
  assert.deepEqual(await consumer.next(), { done: true, value: undefined }, "next() after return()");
  return { acked: seen.slice(0, -1) };
};

const leaveByAbort: Leave = async (queue, at) => {
  const seen: number[] = [];
  const stop = new AbortController();
  for await (const { n } of queue.consume<KitPayload>({ signal: stop.signal })) {
    if (seen.push(n) === at) stop.abort();
  }
  // The body that was in hand has finished, so its payload is acked as well.
  return { acked: seen };
};

const leaveByClose: Leave = async (queue, at) => {
  const seen: number[] = [];
  const consumer = queue.consume<KitPayload>();
  while (seen.length < at) seen.push(await nextNumber(consumer));
  await queue.close();
  return { acked: seen.slice(0, -1) };
};

async function nextNumber(consumer: AsyncIterator<KitPayload>): Promise<number> {
  const result = await consumer.next();
  if (result.done) throw new Error("The consumer ended by itself");
  return result.value.n;
}

function leaving(name: string, leave: Leave): ConformanceCase {
  return {
    name,
    promise: 2,
    async run(context) {
      const total = 12;
      await context.publish(context.a, total);
      const acked: number[] = [];
      for (const at of [1, 3, 2]) {
        const queue = await context.open();
        const result = await context.within(leave(queue, at), `leaving with payload ${at} in hand`);
        acked.push(...result.acked);
        await context.within(queue.close(), "closing after leaving");
      }
      const rest = await context.rest(context.b);
      each([...acked, ...rest], range(total), "what was acked and what was left");
    },
  };
}

/** The cases. */
export const settlementCases: readonly ConformanceCase[] = [
  leaving("break releases the payload in hand and loses nothing", leaveByBreak),
  leaving("throw releases the payload in hand and loses nothing", leaveByThrow),
  leaving("return() releases the payload in hand and loses nothing", leaveByReturn),
  leaving("abort lets the body finish and ack, and loses nothing", leaveByAbort),
  leaving("close releases what was not acked and loses nothing", leaveByClose),
  {
    name: "a payload in hand is not acked before the next is asked for",
    promise: 2,
    async run(context) {
      await context.publish(context.a, 1);
      const queue = await context.open();
      const consumer = queue.consume<KitPayload>();
      assert.equal((await context.next(consumer, "the first payload")).n, 0);
      await context.leave(consumer);
      assert.deepEqual(await context.take(context.b, 1), [0], "given back, as it was not acked");
    },
  },
  {
    name: "asking for the next acks the last, also while there is no next",
    promise: 2,
    async run(context) {
      await context.publish(context.a, 1);
      const queue = await context.open();
      const consumer = queue.consume<KitPayload>();
      await context.next(consumer, "the first payload");
      const next = context.next(consumer, "the second payload");
      // Not before the ack is under way may the wait be ended: a second message answers it.
      await context.publish(context.a, 1, { from: 1 });
      assert.equal((await next).n, 1);
      await context.leave(consumer);
      each(await context.rest(context.b), [1], "the first was acked, the second released");
    },
  },
  {
    name: "the first settlement wins and later ones are harmless",
    promise: 2,
    needs: ["receive"],
    async run(context) {
      const { a, b } = context;
      await context.publish(a, 3);
      await context.receive(b, 3, { prefetch: 1 }, async (delivery) => {
        await delivery.ack();
        await delivery.ack();
        await delivery.nack();
        await delivery.reject("too late");
      });
      each(await context.rest(a), [], "acked, then nacked in vain");
      if (context.capabilities.deadLetters) {
        assert.deepEqual((await a.deadLetters.list("default")).deadLetters, [], "acked, then rejected in vain");
      }
    },
  },
  {
    name: "settlements in any order, many at once, each do what they say",
    promise: 2,
    needs: ["receive", "deadLetters"],
    async run(context) {
      const { a, b } = context;
      await context.publish(a, 40);
      const held: { n: number; settle(): Promise<void> }[] = [];
      const verbs = ["ack", "nack", "reject", "ack"] as const;
      const consumer = b.receive<KitPayload>({ prefetch: 40 });
      while (held.length < 40) {
        const delivery = await context.next(consumer, `delivery ${held.length} of 40 held at once`);
        const { n } = delivery.payload;
        held.push({ n, settle: () => delivery[verbs[n % 4] ?? "ack"]() });
      }
      await context.within(Promise.all(held.toReversed().map((each) => each.settle())), "40 settlements at once");
      await context.leave(consumer);
      const at = (rest: number) => range(40).filter((n) => n % 4 === rest);
      each(await context.rest(a), at(1), "what was nacked comes again");
      const { deadLetters } = await a.deadLetters.list("default", { limit: 100 });
      each(deadLetters.map(numberOf), at(2), "what was rejected is dead");
    },
  },
  {
    name: "a delivery can be acked after the abort",
    promise: 2,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 2);
      const stop = new AbortController();
      const consumer = context.b.receive<KitPayload>({ signal: stop.signal, prefetch: 1 });
      const delivery = await context.next(consumer, "a delivery");
      stop.abort();
      await delivery.ack();
      assert.equal((await context.within(consumer.next(), "the end after an abort")).done, true);
      each(await context.rest(context.a), range(2).filter((n) => n !== delivery.payload.n), "acked after the abort");
    },
  },
  {
    name: "a handler's success acks, its failure brings the message again",
    promise: 2,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 20);
      const handled: number[] = [];
      const failed = new Set<number>();
      const subscription = await context.b.subscribe<KitPayload>(({ payload: { n } }) => {
        if (n % 2 === 0 && !failed.has(n)) {
          failed.add(n);
          throw new Error("failed at first");
        }
        handled.push(n);
      }, { concurrency: 4, retry: () => 0 });
      await context.until(() => handled.length >= 20, () => `20 handled; ${handled.length} were`);
      await context.within(subscription.drain(), "the drain");
      each(handled, range(20), "handled with success");
      assert.equal(failed.size, 10);
      each(await context.rest(context.a), [], "after all were handled");
    },
  },
  {
    name: "a consumer holds no more than its prefetch",
    promise: 2,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 20);
      const holder = context.b.receive<KitPayload>({ prefetch: 5 });
      const held: Delivery<KitPayload>[] = [];
      while (held.length < 5) held.push(await context.next(holder, `delivery ${held.length} of 5`));
      // The sixth is not handed out while five are held, so all the others are there for somebody else.
      const sixth = holder.next();
      const others = await context.take(context.a, 15);
      each([...held.map(({ payload }) => payload.n), ...others], range(20), "five held, the others taken by another");
      await context.leave(holder);
      assert.equal((await context.within(sixth, "the end of a wait for the sixth")).done, true);
      await Promise.all(held.map((delivery) => delivery.nack()));
      each(await context.rest(context.a), held.map(({ payload }) => payload.n), "the five that were given back");
    },
  },
  {
    name: "a handler runs no more often at once than its concurrency",
    promise: 2,
    needs: ["receive"],
    async run(context) {
      const total = 60;
      for (const concurrency of [1, 7]) {
        await context.publishAtOnce(context.a, total);
        let running = 0;
        let most = 0;
        let done = 0;
        let open = () => {};
        const full = new Promise<void>((resolve) => open = resolve);
        const subscription = await context.b.subscribe<KitPayload>(async () => {
          most = Math.max(most, ++running);
          if (running === concurrency) open();
          // The first wait for each other, so that they are as many as they may be.
          await full;
          await context.pass(1);
          running--;
          done++;
        }, { concurrency, prefetch: concurrency });
        await context.until(() => done >= total, () => `${total} handled ${concurrency} at a time; ${done} were`);
        await context.within(subscription.drain(), "the drain");
        assert.equal(most, concurrency, "handlers at the same time");
      }
    },
  },
  {
    name: "a driver pulls no more than it is asked for",
    promise: 2,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 30);
      const receiver = await context.receiver();
      const { signal } = new AbortController();
      let total = 0;
      for (const max of [1, 4, 25, 100]) {
        const claims = await context.within(receiver.pull({ max, signal }), `a pull of at most ${max}`);
        assert.ok(claims.length >= 1 && claims.length <= max, `a pull of at most ${max} gave ${claims.length}`);
        total += claims.length;
        await receiver.settle(claims.map((claim) => ({ claim, verb: "ack" })));
        if (total === 30) break;
      }
    },
  },
  {
    name: "a driver tells for each settlement whether the message was still held",
    promise: 2,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 3);
      const receiver = await context.receiver();
      const claims = [];
      while (claims.length < 3) {
        claims.push(...await context.within(receiver.pull({ max: 1, signal: new AbortController().signal }), "a pull"));
      }
      const acks = claims.map((claim) => ({ claim, verb: "ack" as const }));
      assert.deepEqual(await receiver.settle(acks.slice(0, 1)), [true]);
      assert.deepEqual(await receiver.settle(acks), [false, true, true], "the first had been settled");
      assert.deepEqual(await receiver.extend(claims, 1_000), [false, false, false], "none is held any more");
    },
  },
  {
    name: "without settlement one by one, a handler's failure is retried in place",
    promise: 2,
    lacks: "receive",
    how: "emulated",
    async run(context) {
      await context.publish(context.a, 5);
      const order: string[] = [];
      let failures = 0;
      const subscription = await context.b.subscribe<KitPayload>(({ payload: { n }, attempt }) => {
        order.push(`${n}.${attempt}`);
        if (n === 2 && failures++ < 2) throw new Error("failed twice");
      }, { retry: () => 0 });
      await context.until(() => order.length >= 7, () => `7 handler runs; ${order.join(" ")}`);
      await context.within(subscription.drain(), "the drain");
      const runs = order.filter((each) => each.startsWith("2."));
      assert.deepEqual(runs, ["2.1", "2.2", "2.3"], "the failing one, with its attempts");
      const at = order.indexOf("2.1");
      assert.deepEqual(order.slice(at, at + 3), runs, "nothing comes in between");
      each(await context.rest(context.a), [], "after all were handled");
    },
  },
  {
    name: "without settlement one by one, one handler runs at a time unless there are groups",
    promise: 2,
    lacks: "receive",
    how: "refused",
    async run({ a, capabilities }) {
      if (capabilities.groups) {
        const subscription = await a.subscribe(() => {}, { concurrency: 3 });
        await subscription.drain();
        return;
      }
      await refused("unsupported", () => a.subscribe(() => {}, { concurrency: 3 }), "concurrency 3");
    },
  },
  {
    name: "without settlement one by one, headers travel with the payload",
    promise: 2,
    lacks: "receive",
    how: "emulated",
    async run(context) {
      await context.a.publish("kit.message", { n: 1 }, { headers: { trace: "żółw" } });
      await context.a.publish("kit.message", { n: 2 });
      const seen: unknown[] = [];
      const subscription = await context.b.subscribe<KitPayload>(({ payload, headers }) => {
        seen.push([payload, { ...headers }]);
      });
      await context.until(() => seen.length >= 2, "two messages handled");
      await context.within(subscription.drain(), "the drain");
      assert.deepEqual(seen, [[{ n: 1 }, { trace: "żółw" }], [{ n: 2 }, {}]]);
    },
  },
];
