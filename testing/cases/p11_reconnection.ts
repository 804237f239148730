/**
 * Promise 11: who waits for a broker goes on when it is back, and nothing that was confirmed is lost.
 *
 * @module
 */

import assert from "node:assert/strict";
import { MessageQueueError, type QueueState } from "../../mod.ts";
import { changed, withReceiver } from "../faults.ts";
import type { ConformanceCase } from "../case.ts";
import type { KitPayload } from "../worker.ts";
import { each, failure, range, refused } from "./expect.ts";

function lostConnection(): MessageQueueError {
  return new MessageQueueError("connection", "The connection is lost, says the conformance kit", { retryable: true });
}

/** Fails the first so many times. */
function failing(times: number): () => void {
  let failures = 0;
  return () => {
    if (failures++ < times) throw lostConnection();
  };
}

const reconnect = () => 1;

/** The cases. */
export const reconnectionCases: readonly ConformanceCase[] = [
  {
    name: "a consumer goes on after lost connections, and tells of them",
    promise: 11,
    needs: ["receive"],
    async run(context) {
      const states: QueueState[] = [];
      const [open, pull] = [failing(2), failing(3)];
      const queue = await context.open({
        reconnect,
        onStateChange: ({ state }) => states.push(state),
        wrap: (backend) =>
          withReceiver(
            changed(backend, {
              async receive(options) {
                open();
                if (backend.receive === undefined) throw new TypeError("The backend has no receive");
                return await backend.receive(options);
              },
            }),
            (receiver) => ({
              async pull(options) {
                pull();
                return await receiver.pull(options);
              },
            }),
          ),
      });
      await context.publish(context.a, 5);
      each(await context.take(queue, 5), range(5), "consumed over lost connections");
      assert.equal(states[0], "reconnecting");
      assert.equal(states.at(-1), "open");
      assert.equal(queue.state, "open");
    },
  },
  {
    name: "an ack is tried again after a lost connection",
    promise: 11,
    needs: ["receive"],
    async run(context) {
      const settle = failing(3);
      const queue = await context.open({
        reconnect,
        wrap: (backend) =>
          withReceiver(backend, (receiver) => ({
            async settle(settlements) {
              settle();
              return await receiver.settle(settlements);
            },
          })),
      });
      await context.publish(context.a, 3);
      await context.receive(queue, 3);
      each(await context.rest(context.a), [], "acked over lost connections");
    },
  },
  {
    name: "what no retry mends ends a consumer with the error, not in silence",
    promise: 11,
    needs: ["receive"],
    async run(context) {
      const broken = new MessageQueueError("storage", "The disk is on fire, says the conformance kit");
      const queue = await context.open({
        reconnect,
        wrap: (backend) => withReceiver(backend, () => ({ pull: () => Promise.reject(broken) })),
      });
      assert.equal(await failure(() => context.within(queue.consume().next(), "the error"), "consume"), broken);
      const subscription = await queue.subscribe(() => {});
      assert.equal(await failure(() => context.within(subscription.closed, "the error"), "subscribe"), broken);
      assert.ok(context.logged.some((line) => line.startsWith("error") && line.includes("on fire")), "it is logged");
    },
  },
  {
    name: "a publish is tried again while that may help, and until its time is over",
    promise: 11,
    async run(context) {
      let fail = failing(3);
      const stored = (backend: Parameters<typeof changed>[0]) =>
        changed(backend, {
          async publish(...args) {
            fail();
            await backend.publish(...args);
          },
          ...(backend.publishMany !== undefined && {
            async publishMany(...args) {
              fail();
              await backend.publishMany?.(...args);
            },
          }),
        });
      const queue = await context.open({ reconnect, wrap: stored });
      await queue.publish("kit.message", { n: 1 });
      fail = failing(Infinity);
      await refused(
        "publish_timeout",
        () => queue.publish("kit.message", { n: 2 }, { publishTimeoutMs: 100 }),
        "a publish while the broker is away",
      );
      const stop = new AbortController();
      const reason = new Error("enough");
      const publishing = failure(() => queue.publish("kit.message", { n: 3 }, { signal: stop.signal }), "publish");
      await context.pass(20);
      stop.abort(reason);
      assert.equal(await context.within(publishing, "the end of a publish"), reason);
      const refusal = new MessageQueueError("storage", "No room, says the conformance kit");
      fail = () => {
        throw refusal;
      };
      assert.equal(await failure(() => queue.publish("kit.message", { n: 4 }), "publish"), refusal);
      each(await context.rest(context.a), [1], "only the first was stored");
    },
  },
  {
    name: "without settlement one by one, a consumer goes on after an error of its consume",
    promise: 11,
    lacks: "receive",
    how: "emulated",
    async run(context) {
      const consume = failing(2);
      const queue = await context.open({
        reconnect,
        wrap: (backend) =>
          changed(backend, {
            consume(options) {
              consume();
              return backend.consume(options);
            },
          }),
      });
      await context.publish(context.a, 3);
      each(await context.take(queue, 3), range(3), "consumed over errors");
    },
  },
  {
    name: "a consumer that waits while the broker is killed gets what comes after",
    promise: 11,
    needs: ["restart"],
    async run(context) {
      const taking = context.take(context.b, 1);
      await context.publish(context.a, 1, { from: -5 });
      await taking;
      const waiting = context.take(context.b, 5);
      await context.restart();
      await context.publish(context.a, 5);
      each(await waiting, range(5), "published after the restart");
    },
  },
  {
    name: "the broker is killed twice in mid-traffic and nothing confirmed is lost",
    promise: 11,
    needs: ["restart", "durable", "receive"],
    async run(context) {
      const { a, b } = context;
      const confirmed: number[] = [];
      const handled = new Set<number>();
      const subscription = await b.subscribe<KitPayload>(({ payload }) => {
        handled.add(payload.n);
      }, { concurrency: 4, retry: () => 0 });
      let going = true;
      let next = 0;
      const publishers = range(4).map(async () => {
        while (going) {
          const n = next++;
          await a.publish("kit.message", { n });
          confirmed.push(n);
          await context.pass(1);
        }
      });
      for (const restart of [1, 2]) {
        const enough = confirmed.length + 50;
        await context.until(() => confirmed.length >= enough, () => `traffic before restart ${restart}`);
        await context.restart();
      }
      const enough = confirmed.length + 50;
      await context.until(() => confirmed.length >= enough, () => "traffic after the restarts");
      going = false;
      await context.within(Promise.all(publishers), "the publishers");
      await context.until(
        () => confirmed.every((n) => handled.has(n)),
        () => `all of ${confirmed.length} handled; missing: ${confirmed.filter((n) => !handled.has(n)).slice(0, 20)}`,
      );
      await context.within(subscription.drain(), "the drain");
    },
  },
  {
    name: "what was acked before a restart does not come again, and what was not does",
    promise: 11,
    needs: ["restart", "durable", "receive"],
    async run(context) {
      const { a, b } = context;
      await context.publish(a, 10);
      await context.receive(b, 4, { prefetch: 1, leaseMs: context.leaseMs });
      await context.restart();
      const rest = await context.receive(a, 6, { leaseMs: context.leaseMs });
      each(rest.map(({ payload }) => payload.n), range(6, 4), "after the restart");
    },
  },
];
