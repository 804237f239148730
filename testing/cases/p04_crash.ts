/**
 * Promise 4: what a killed consumer held goes to another, and who lost a message has no say in it any more.
 *
 * @module
 */

import assert from "node:assert/strict";
import { MessageQueueError } from "../../mod.ts";
import { withReceiver } from "../faults.ts";
import type { ConformanceCase } from "../case.ts";
import type { KitPayload } from "../worker.ts";
import { each, numberOf, range, refused } from "./expect.ts";

// So long that a case which waits for it would fail by its deadline.
const longLeaseMs = 600_000;

/** The cases. */
export const crashCases: readonly ConformanceCase[] = [
  {
    name: "what a killed consumer had in hand comes again with attempt 2",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      const id = await context.a.publish("kit.message", { n: 0 });
      const worker = await context.worker({ verb: "hold" });
      await context.until(() => worker.handed.length === 1, "the worker holds the message");
      assert.deepEqual(worker.handed[0], { id, attempt: 1, payload: { n: 0 } });
      await worker.kill();
      const [delivery] = await context.receive(context.b, 1, { leaseMs: context.leaseMs });
      assert.equal(delivery?.id, id);
      assert.equal(delivery.attempt, 2);
      each(await context.rest(context.b), [], "after it was acked");
    },
  },
  {
    name: "what a killed consumer had prefetched comes again, all of it",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      await context.publish(context.a, 20);
      const worker = await context.worker({ verb: "hold", prefetch: 10 });
      await context.until(() => worker.handed.length === 10, "the worker holds ten messages");
      await worker.kill();
      const deliveries = await context.receive(context.b, 20, { leaseMs: context.leaseMs });
      each(deliveries.map(({ payload }) => payload.n), range(20), "held by the dead, and fresh");
      const held = new Set(worker.handed.map(({ id }) => id));
      for (const { id, attempt } of deliveries) {
        // After a crash the count is an upper bound: what was claimed may count although it was never handed over.
        assert.ok(held.has(id) ? attempt === 2 : attempt <= 2, `attempt ${attempt}`);
      }
    },
  },
  {
    name: "a message whose consumer lives is not given to another, however long its handler runs",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      const { a, b, leaseMs } = context;
      await context.publish(a, 1);
      const runs: string[] = [];
      let finished = false;
      const long = await b.subscribe<KitPayload>(async ({ payload: { n }, attempt, signal }) => {
        runs.push(`long ${n}.${attempt}`);
        if (n !== 0) return;
        const end = Date.now() + 2.5 * leaseMs;
        await context.until(() => Date.now() >= end, "two and a half leases");
        assert.equal(signal.aborted, false, "its signal");
        finished = true;
      }, { leaseMs, concurrency: 1, prefetch: 1 });
      await context.until(() => runs.length === 1, "the handler runs");
      const other = await a.subscribe<KitPayload>(({ payload: { n }, attempt }) => {
        runs.push(`other ${n}.${attempt}`);
      }, { leaseMs });
      await context.until(() => finished, "the end of a long handler");
      await context.within(Promise.all([long.drain(), other.drain()]), "the drains");
      assert.deepEqual(runs, ["long 0.1"], "runs of the handler");
      each(await context.rest(a), [], "after it was acked");
    },
  },
  {
    name: "a handler that keeps the event loop busy for part of the lease does not lose it",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      const { a, b, leaseMs } = context;
      await context.publish(a, 1);
      const runs: number[] = [];
      let done = 0;
      const handler = async ({ payload, attempt }: { payload: KitPayload; attempt: number }) => {
        runs.push(attempt);
        for (let round = 0; payload.n === 0 && round < 4; round++) {
          const free = Date.now() + 0.4 * leaseMs;
          while (Date.now() < free);
          // One turn of the loop is all that a renewal gets.
          await context.pass(1);
        }
        done++;
      };
      const one = await b.subscribe<KitPayload>(handler, { leaseMs, prefetch: 1 });
      const two = await a.subscribe<KitPayload>(handler, { leaseMs, prefetch: 1 });
      await context.until(() => done === 1, "the end of a busy handler");
      await context.within(Promise.all([one.drain(), two.drain()]), "the drains");
      assert.deepEqual(runs, [1], "runs of the handler");
      each(await context.rest(a), [], "after it was acked");
    },
  },
  {
    name: "a stale holder's settlement is refused and changes nothing",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      const { leaseMs } = context;
      await context.publish(context.a, 1);
      const { signal } = new AbortController();
      const stale = await context.receiver({ leaseMs: Math.min(leaseMs, 500) });
      const [lost] = await context.within(stale.pull({ max: 1, signal }), "a pull");
      assert.equal(lost?.attempt, 1);
      // Below the queue nobody renews: the lease runs out although its holder lives.
      const fresh = await context.receiver({ leaseMs: longLeaseMs });
      const [claim] = await context.within(fresh.pull({ max: 1, signal }), "a pull of what another let go");
      assert.equal(claim?.id, lost.id);
      assert.equal(claim.attempt, 2);
      for (const verb of ["ack", "release"] as const) {
        assert.deepEqual(await stale.settle([{ claim: lost, verb }]), [false], `a stale ${verb}`);
      }
      assert.deepEqual(await stale.settle([{ claim: lost, verb: "nack", delayMs: 0 }]), [false], "a stale nack");
      assert.deepEqual(
        await stale.settle([{ claim: lost, verb: "reject", reason: "stale" }]),
        [false],
        "a stale reject",
      );
      assert.deepEqual(await stale.extend([lost], longLeaseMs), [false], "a stale extend");
      if (context.capabilities.deadLetters) {
        assert.deepEqual((await context.a.deadLetters.list("default")).deadLetters, [], "dead letters");
      }
      assert.deepEqual(await fresh.settle([{ claim, verb: "ack" }]), [true], "the holder's ack");
      each(await context.rest(context.a), [], "after it was acked");
    },
  },
  {
    name: "a consumer that lost a message is told: its signal is aborted and its ack refused with lease_lost",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      await context.publish(context.a, 1);
      // What is handed over by `receive` is its holder's to extend, and this one does not.
      const queue = await context.open();
      const consumer = queue.receive<KitPayload>({ leaseMs: Math.min(context.leaseMs, 500), prefetch: 1 });
      const lost = await context.next(consumer, "a delivery");
      const { signal } = lost;
      const [again] = await context.receive(context.b, 1);
      assert.equal(again?.id, lost.id);
      await context.until(() => signal.aborted, "the lost delivery's signal is aborted");
      await refused("lease_lost", () => lost.ack(), "the ack of a lost message");
      await refused("lease_lost", () => lost.extend(60_000), "the extension of a lost message");
      await context.leave(consumer);
    },
  },
  {
    name: "a handler whose lease is lost has its signal aborted",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      await context.publish(context.a, 1);
      // The renewals of this queue do not get through, as with a broken network; the broker says so at the last.
      const queue = await context.open({
        wrap: (backend) =>
          withReceiver(backend, () => ({ extend: (claims) => Promise.resolve(claims.map(() => false)) })),
      });
      let reason: unknown;
      const subscription = await queue.subscribe<KitPayload>(async ({ signal }) => {
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
        reason = signal.reason;
      }, { leaseMs: Math.min(context.leaseMs, 1_000), prefetch: 1 });
      await context.until(() => reason !== undefined, "the handler's signal is aborted");
      assert.ok(reason instanceof MessageQueueError && reason.code === "lease_lost", `the signal's reason: ${reason}`);
      await context.within(subscription.drain(), "the drain");
    },
  },
  {
    name: "consume goes on after an ack that was refused",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      await context.publish(context.a, 1);
      const queue = await context.open({
        wrap: (backend) =>
          withReceiver(backend, (receiver) => ({
            async settle(settlements) {
              await receiver.settle(settlements);
              return settlements.map(() => false);
            },
          })),
      });
      const consumer = queue.consume<KitPayload>({ prefetch: 1 });
      assert.equal((await context.next(consumer, "the first payload")).n, 0);
      const next = context.next(consumer, "the second payload");
      await context.publish(context.a, 1, { from: 1 });
      assert.equal((await next).n, 1);
      await context.until(() => context.logged.some((line) => line.startsWith("warn")), "a warning in the log");
      await context.leave(consumer);
    },
  },
  {
    name: "extend keeps a message by hand",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      await context.publish(context.a, 1);
      const { signal } = new AbortController();
      const leaseMs = Math.min(context.leaseMs, 500);
      const holder = await context.receiver({ leaseMs });
      const [claim] = await context.within(holder.pull({ max: 1, signal }), "a pull");
      assert.ok(claim !== undefined);
      assert.deepEqual(await holder.extend([claim], longLeaseMs), [true]);
      // Past the first lease another finds nothing.
      const other = await context.receiver({ leaseMs });
      const pulled = await context.within(
        other.pull({ max: 1, signal: AbortSignal.timeout(2 * leaseMs) }),
        "a pull that ends by its signal",
      );
      assert.deepEqual(pulled, []);
      assert.deepEqual(await holder.settle([{ claim, verb: "ack" }]), [true]);
    },
  },
  {
    name: "a clean close gives back at once, whatever the lease",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      await context.publish(context.a, 5);
      const queue = await context.open();
      const consumer = queue.receive<KitPayload>({ leaseMs: longLeaseMs, prefetch: 5 });
      await context.next(consumer, "a delivery");
      await context.within(queue.close(), "a close");
      each(await context.take(context.b, 5), range(5), "given back by a close");
    },
  },
  {
    name: "without leases, leaseMs and extend are refused",
    promise: 4,
    lacks: "leases",
    how: "refused",
    async run(context) {
      const { a, b } = context;
      await refused("unsupported", () => a.consume({ leaseMs: 1_000 }).next(), "consume with leaseMs");
      await refused("unsupported", () => a.subscribe(() => {}, { leaseMs: 1_000 }), "subscribe with leaseMs");
      await context.publish(a, 1);
      let extended: Promise<void> | undefined;
      const subscription = await b.subscribe<KitPayload>((delivery) => {
        extended = refused("unsupported", () => delivery.extend(1_000), "extend");
      });
      await context.until(() => extended !== undefined, "a delivery");
      await extended;
      await context.within(subscription.drain(), "the drain");
    },
  },
  {
    name: "closing a driver's receiver releases what it held, and a second close is harmless",
    promise: 4,
    needs: ["receive", "leases"],
    async run(context) {
      await context.publish(context.a, 3);
      const { signal } = new AbortController();
      const receiver = await context.receiver({ leaseMs: longLeaseMs });
      const waiting = await context.receiver({ leaseMs: longLeaseMs });
      const claims = await context.within(receiver.pull({ max: 1, signal }), "a pull");
      assert.equal(claims.length, 1);
      await context.within(receiver.close(), "the close of a receiver");
      await receiver.close();
      const seen: number[] = [];
      while (seen.length < 3) {
        const batch = await context.within(waiting.pull({ max: 3, signal }), "a pull of what was released");
        seen.push(...batch.map(numberOf));
        await waiting.settle(batch.map((claim) => ({ claim, verb: "ack" })));
      }
      each(seen, range(3), "released by a close, and fresh");
    },
  },
];
