/**
 * Promise 10: calls and consumers end when they are told to, promptly, and lose nothing by it.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Delivery, MessageQueueError } from "../../mod.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import { countedSignal } from "../signals.ts";
import type { KitPayload } from "../worker.ts";
import { each, failure, range } from "./expect.ts";

// How many turns of the microtask queue are tried as the moment to stop: more than any call here takes to its first wait.
const moments = 24;

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await Promise.resolve();
}

/** Stops a consumer at one moment after the other: what it was not given must still be there, and what it was done with must not. */
async function stopAtEveryMoment(context: CaseContext, how: "abort" | "return"): Promise<void> {
  const done = new Set<number>();
  const unsure = new Set<number>();
  for (let moment = 0; moment < moments; moment++) {
    await context.publish(context.a, 2, { from: moment * 2 });
    const stop = new AbortController();
    const consumer = context.b.consume<KitPayload>({ signal: stop.signal, prefetch: 2 });
    const results = [consumer.next(), consumer.next()];
    await turns(moment);
    if (how === "abort") stop.abort();
    else await context.leave(consumer);
    const came = (await context.within(Promise.all(results), `the end at moment ${moment}`))
      .flatMap((result) => result.done ? [] : [result.value.n]);
    if (how === "abort") {
      // Asking for the next after an abort acks what was in hand.
      assert.equal((await context.within(consumer.next(), "the end after an abort")).done, true);
      for (const n of came) done.add(n);
    } else if (came.length === 2) {
      for (const n of came.slice(0, 1)) done.add(n);
    } else {
      // Of one that came alone the ack and the release race: the next was asked for, and then the consumer was left.
      for (const n of came) unsure.add(n);
    }
  }
  const rest = await context.rest(context.a);
  const left = new Set(rest);
  assert.equal(rest.length, left.size, "payloads that are there twice");
  const lost = range(moments * 2).filter((n) => !done.has(n) && !unsure.has(n) && !left.has(n));
  assert.deepEqual(lost, [], "payloads that were lost");
  assert.deepEqual([...done].filter((n) => left.has(n)), [], "payloads that were acked and came again");
}

/** The cases. */
export const abortCases: readonly ConformanceCase[] = [
  {
    name: "a publish whose signal is aborted rejects with the signal's reason",
    promise: 10,
    async run(context) {
      const { a } = context;
      const reason = new Error("no longer wanted");
      const signal = AbortSignal.abort(reason);
      assert.equal(await failure(() => a.publish("kit.message", { n: 1 }, { signal }), "publish"), reason);
      const batch = [{ key: "kit.message", payload: { n: 2 } }];
      assert.equal(await failure(() => a.publishMany(batch, { signal }), "publishMany"), reason);
      each(await context.rest(context.b), [], "nothing was stored");
    },
  },
  {
    name: "an abort ends a waiting consumer, normally",
    promise: 10,
    async run(context) {
      for (const consume of ["consume", "receive"] as const) {
        const stop = new AbortController();
        const waiting = context.b[consume]({ signal: stop.signal }).next();
        // Give the wait time to get to the broker: the end of one that has begun is what this is about.
        await context.pass(50);
        stop.abort(new Error("enough"));
        assert.deepEqual(await context.within(waiting, `the end of ${consume}`), { done: true, value: undefined });
      }
    },
  },
  {
    name: "a consumer whose signal was aborted before takes nothing",
    promise: 10,
    async run(context) {
      await context.publish(context.a, 3);
      const signal = AbortSignal.abort();
      const consumer = context.b.consume({ signal });
      assert.equal((await context.within(consumer.next(), "the end of a consumer")).done, true);
      each(await context.rest(context.a), range(3), "nothing was taken");
    },
  },
  {
    name: "an abort in the midst of traffic ends consumers and loses nothing",
    promise: 10,
    async run(context) {
      const { a, b } = context;
      // Enough for all four consumers to come to their abort.
      const total = Math.max(100, context.scaled(300));
      const seen: number[] = [];
      const publishing = context.publishAtOnce(a, total);
      const stops = range(4).map(() => new AbortController());
      const consumers = stops.map(async (stop, index) => {
        let count = 0;
        for await (
          const { n } of (index % 2 === 0 ? a : b).consume<KitPayload>({ signal: stop.signal, prefetch: 10 })
        ) {
          seen.push(n);
          if (++count === 10 + index) stop.abort();
        }
      });
      await publishing;
      await context.within(Promise.all(consumers), "the end of all consumers");
      each([...seen, ...await context.rest(a)], range(total), "consumed before the abort, and left");
    },
  },
  {
    name: "return() ends a waiting next()",
    promise: 10,
    async run(context) {
      const consumer = context.b.consume();
      const waiting = consumer.next();
      await context.pass(50);
      await context.leave(consumer);
      assert.deepEqual(await context.within(waiting, "the wait that return() ends"), { done: true, value: undefined });
      await context.publish(context.a, 1);
      each(await context.rest(context.a), [0], "the one that left takes nothing more");
    },
  },
  {
    name: "abort at every await point loses nothing",
    promise: 10,
    run: (context) => stopAtEveryMoment(context, "abort"),
  },
  {
    name: "return() at every await point loses nothing",
    promise: 10,
    run: (context) => stopAtEveryMoment(context, "return"),
  },
  {
    name: "no listener is left on a signal",
    promise: 10,
    async run(context) {
      const { a, b } = context;
      const counted = countedSignal();
      const { signal } = counted;
      for (const n of range(20)) await a.publish("kit.message", { n }, { signal });
      for (const _ of range(5)) {
        const consumer = b.consume<KitPayload>({ signal });
        await context.next(consumer, "a payload");
        await context.next(consumer, "another payload");
        await context.leave(consumer);
        const subscription = await b.subscribe<KitPayload>(() => {}, { signal });
        await context.within(subscription.drain(), "the drain");
      }
      assert.equal(counted.listeners, 0, "listeners on the application's signal");
    },
  },
  {
    name: "a driver leaves no listener on the signal of a pull or a publish",
    promise: 10,
    needs: ["receive"],
    async run(context) {
      const counted = countedSignal();
      const { signal } = counted;
      const backend = await context.openBackend();
      const receiver = await context.receiver({}, backend);
      for (const n of range(10)) {
        const pulling = receiver.pull({ max: 1, signal });
        await backend.publish("kit.message", { n }, { signal });
        const claims = await context.within(pulling, "a pull");
        await receiver.settle(claims.map((claim) => ({ claim, verb: "ack" })));
      }
      assert.equal(counted.listeners, 0, "listeners after ten pulls and ten publishes");
    },
  },
  {
    name: "a driver's pull ends when its signal is aborted, and the receiver goes on",
    promise: 10,
    needs: ["receive"],
    async run(context) {
      const receiver = await context.receiver();
      for (const waitMs of [0, 1, 50]) {
        const stop = new AbortController();
        const pulling = receiver.pull({ max: 5, signal: stop.signal });
        await context.pass(waitMs);
        stop.abort();
        assert.deepEqual(await context.within(pulling, "the end of a pull"), []);
      }
      assert.deepEqual(
        await context.within(receiver.pull({ max: 5, signal: AbortSignal.abort() }), "a pull aborted before"),
        [],
      );
      await context.publish(context.a, 1);
      const claims = await context.within(receiver.pull({ max: 5, signal: new AbortController().signal }), "a pull");
      assert.equal(claims.length, 1);
    },
  },
  {
    name: "the backend's own consume ends when its signal is aborted",
    promise: 10,
    async run(context) {
      const backend = await context.openAny();
      const counted = countedSignal();
      await backend.publish("kit.message", { n: 0 });
      const consumer = backend.consume({ signal: counted.signal })[Symbol.asyncIterator]();
      assert.deepEqual(await context.next(consumer, "a payload"), { n: 0 });
      const waiting = consumer.next();
      await context.pass(50);
      counted.abort();
      assert.equal((await context.within(waiting, "the end of the backend's own consume")).done, true);
      each(await context.rest(context.a), [], "what was followed by a next() is acked");
    },
  },
  {
    name: "the backend's own consume gives back what was in hand when it is left",
    promise: 10,
    async run(context) {
      const backend = await context.openAny();
      for (const n of range(3)) await backend.publish("kit.message", { n });
      const counted = countedSignal();
      const consumer = backend.consume({ signal: counted.signal })[Symbol.asyncIterator]();
      assert.deepEqual(await context.next(consumer, "a payload"), { n: 0 });
      await context.leave(consumer);
      assert.equal(counted.listeners, 0, "listeners that the consumer left behind");
      each(await context.rest(context.a), range(3), "nothing was acked");
    },
  },
  {
    name: "a drain lets handlers finish and gives the rest back, at no attempt",
    promise: 10,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 20);
      let finish = () => {};
      const gate = new Promise<void>((resolve) => finish = resolve);
      const handled: number[] = [];
      let aborted = false;
      const subscription = await context.b.subscribe<KitPayload>(async ({ payload, signal }) => {
        await gate;
        aborted ||= signal.aborted;
        handled.push(payload.n);
      }, { concurrency: 3, prefetch: 10 });
      if (context.capabilities.stats) {
        await context.until(
          async () => ((await context.a.stats()).groups.default?.inFlight ?? 0) >= 3,
          "three in hand",
        );
      }
      const draining = subscription.drain();
      finish();
      await context.within(draining, "the drain");
      await context.within(subscription.closed, "the end of the subscription");
      assert.equal(aborted, false, "handlers that finish in time are not aborted");
      const rest = await context.receive(context.a, 20 - handled.length);
      each([...handled, ...rest.map(({ payload }) => payload.n)], range(20), "handled, and given back");
      for (const { attempt } of rest) assert.equal(attempt, 1, "what is given back costs no attempt");
    },
  },
  {
    name: "a drain that runs out of time aborts the handlers and gives their messages back, at no attempt",
    promise: 10,
    needs: ["receive"],
    async run(context) {
      const id = await context.a.publish("kit.message", { n: 0 });
      let signal: AbortSignal | undefined;
      const subscription = await context.b.subscribe<KitPayload>(async (delivery) => {
        signal = delivery.signal;
        await new Promise<void>((resolve) =>
          delivery.signal.addEventListener("abort", () => resolve(), { once: true })
        );
        throw new Error("cut short");
      }, { prefetch: 1 });
      await context.until(() => signal !== undefined, "the handler runs");
      await context.within(subscription.drain({ timeoutMs: 20 }), "the drain");
      assert.equal(signal?.aborted, true);
      const [delivery] = await context.receive(context.a, 1);
      assert.equal(delivery?.id, id);
      assert.equal(delivery.attempt, 1);
    },
  },
  {
    name: "await using drains a subscription, and its signal ends it",
    promise: 10,
    async run(context) {
      const handled: number[] = [];
      const stop = new AbortController();
      {
        await using _ = await context.b.subscribe<KitPayload>(({ payload }) => handled.push(payload.n));
        await context.publish(context.a, 1);
        await context.until(() => handled.length === 1, "the first message");
      }
      const second = await context.b.subscribe<KitPayload>(({ payload }) => handled.push(payload.n), {
        signal: stop.signal,
      });
      await context.publish(context.a, 1, { from: 1 });
      await context.until(() => handled.length === 2, "the second message");
      stop.abort();
      await context.within(second.closed, "the end of the subscription");
      await context.publish(context.a, 1, { from: 2 });
      each(await context.rest(context.a), [2], "nobody consumes any more");
      assert.deepEqual(handled, [0, 1]);
    },
  },
  {
    name: "a delivery's signal ends with its settlement, and with the queue",
    promise: 10,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 2);
      const queue = await context.open();
      const consumer = queue.receive<KitPayload>({ prefetch: 2 });
      const deliveries: Delivery<KitPayload>[] = [];
      while (deliveries.length < 2) deliveries.push(await context.next(consumer, "a delivery"));
      const [one, two] = deliveries.map(({ signal }) => signal);
      assert.deepEqual([one?.aborted, two?.aborted], [false, false]);
      await deliveries[0]?.ack();
      assert.deepEqual([one?.aborted, two?.aborted], [true, false]);
      await queue.close();
      assert.equal(two?.aborted, true);
    },
  },
  {
    name: "a handler that takes too long is aborted and its message fails",
    promise: 10,
    needs: ["receive"],
    async run(context) {
      await context.publish(context.a, 1);
      const attempts: number[] = [];
      const errors: unknown[] = [];
      const subscription = await context.b.subscribe<KitPayload>(async ({ attempt, signal }) => {
        attempts.push(attempt);
        if (attempt > 1) return;
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      }, { timeoutMs: 50, retry: () => 0, onError: (error) => errors.push(error) });
      await context.until(() => attempts.length === 2, "the second attempt");
      await context.within(subscription.drain(), "the drain");
      assert.deepEqual(attempts, [1, 2]);
      const [error] = errors;
      assert.ok(error instanceof MessageQueueError && error.code === "timeout", `${error}`);
    },
  },
];
