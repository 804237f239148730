/**
 * Cases of the protocol itself: what is declared, what is refused, what follows a close.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Capabilities } from "../../mod.ts";
import type { ConformanceCase } from "../case.ts";
import { failure, refused } from "./expect.ts";

function declared(capabilities: Capabilities = {}): string[] {
  return Object.entries(capabilities).filter(([, value]) => value === true).map(([name]) => name).sort();
}

/** The cases. */
export const protocolCases: readonly ConformanceCase[] = [
  {
    name: "the backend declares what it is meant to",
    promise: 0,
    run({ a, capabilities }) {
      assert.deepEqual(declared(a.backend.capabilities), declared(capabilities), "capabilities of the backend");
      assert.deepEqual(declared(a.capabilities), declared(capabilities), "capabilities of the queue");
      return Promise.resolve();
    },
  },
  {
    name: "what is declared has its members",
    promise: 0,
    needs: ["receive"],
    run({ a: { backend }, capabilities }) {
      assert.equal(typeof backend.receive, "function", "receive");
      assert.equal(typeof backend.publishMany, "function", "publishMany");
      if (capabilities.groups) assert.equal(typeof backend.groups?.create, "function", "groups");
      if (capabilities.deadLetters) assert.equal(typeof backend.deadLetters?.list, "function", "deadLetters");
      if (capabilities.stats) assert.equal(typeof backend.stats, "function", "stats");
      return Promise.resolve();
    },
  },
  {
    name: "the native backend can be reached through the queue",
    promise: 0,
    async run(context) {
      const backend = await context.harness.open(context.exchange);
      const queue = await context.open({ wrap: () => backend });
      assert.equal(queue.backend, backend);
    },
  },
  {
    name: "after close every call is an error, and a second close is not",
    promise: 0,
    async run(context) {
      const queue = await context.open();
      await queue.publish("kit.message", { n: 0 });
      await queue.close();
      await queue.close();
      await queue[Symbol.asyncDispose]();
      assert.equal(queue.state, "closed");
      await refused("closed", () => queue.publish("kit.message", { n: 1 }), "publish after close");
      await refused("closed", () => queue.consume().next(), "consume after close");
      await refused("closed", () => queue.subscribe(() => {}), "subscribe after close");
    },
  },
  {
    name: "a backend can be disposed twice",
    promise: 0,
    async run(context) {
      const backend = await context.harness.open(context.exchange);
      const queue = await context.open({ wrap: () => backend });
      await queue.publish("kit.message", { n: 0 });
      await queue.close();
      await disposed(backend);
    },
  },
  {
    name: "concurrent first uses of a new instance all work",
    promise: 0,
    async run(context) {
      const queue = await context.open();
      const consumer = queue.consume<{ n: number }>();
      await context.within(
        Promise.all([
          context.next(consumer, "the first message"),
          context.publishAtOnce(queue, 20),
          queue.publish("kit.message", { n: 20 }),
        ]),
        "the first uses of an instance, all at once",
      );
      await context.leave(consumer);
      const rest = await context.rest(queue);
      assert.equal(new Set(rest).size, 21, "every message published by the first uses");
    },
  },
  {
    name: "ping resolves",
    promise: 0,
    needs: ["receive"],
    async run(context) {
      await context.within(context.a.ping(), "an answer to ping");
    },
  },
  {
    name: "a disposed queue leaves nothing that keeps the process alive",
    promise: 0,
    needs: ["child"],
    async run(context) {
      const worker = await context.worker({ verb: "visit" });
      await context.within(worker.ended, "the end of a process that has closed its queue");
      assert.equal(worker.handed.length, 1);
    },
  },
  {
    name: "stats count what is ready, in flight and dead",
    promise: 0,
    needs: ["stats", "receive", "deadLetters"],
    async run(context) {
      const { a, b } = context;
      await a.groups.create("billing");
      await context.publish(a, 10);
      const receiver = await context.receiver({ group: "billing" });
      const claims = await receiver.pull({ max: 3, signal: new AbortController().signal });
      assert.ok(claims.length > 0);
      const [first, ...others] = claims;
      assert.ok(first !== undefined);
      await receiver.settle([{ claim: first, verb: "reject", reason: "unwanted" }]);
      // Counts may lag where a backend can only bound them, so they are waited for.
      let seen = "";
      await context.until(async () => {
        const stats = (await b.stats()).groups.billing;
        seen = JSON.stringify(stats);
        if (stats === undefined) return false;
        const { ready, inFlight, dead, consumers, oldestAgeMs, approximate } = stats;
        const rest = approximate ? ready >= 10 - claims.length : ready === 10 - claims.length;
        return rest && inFlight === others.length && dead === 1 && consumers >= 1 && oldestAgeMs >= 0;
      }, () => `stats of 10 messages, ${claims.length} of them claimed and one of those dead; got ${seen}`);
      assert.ok((await b.stats()).retained >= 9, "retained counts what is stored");
    },
  },
  {
    name: "without stats, asking for them is refused",
    promise: 0,
    lacks: "stats",
    how: "refused",
    async run({ a }) {
      await refused("unsupported", () => a.stats(), "stats");
    },
  },
  {
    name: "options out of range are errors at the call",
    promise: 0,
    async run({ a }) {
      for (const prefetch of [0, -1, 1.5, NaN]) {
        const error = await failure(() => a.consume({ prefetch }).next(), `prefetch ${prefetch}`);
        assert.ok(error instanceof RangeError, `prefetch ${prefetch} must be a RangeError, not ${error}`);
      }
      const error = await failure(() => a.subscribe(() => {}, { concurrency: 0 }), "concurrency 0");
      assert.ok(error instanceof RangeError, `concurrency 0 must be a RangeError, not ${error}`);
    },
  },
];

async function disposed(backend: { [Symbol.asyncDispose]?(): PromiseLike<void> }): Promise<void> {
  await backend[Symbol.asyncDispose]?.();
}
