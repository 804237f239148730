import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Delivery, MessageQueue, type MessageQueueError, retryWithBackoff } from "../../mod.ts";
import { countedSignal, FaultyBackend, RecordingLogger, until } from "./fakes.ts";

const timeout = 30_000;

function open(): { backend: FaultyBackend; mq: MessageQueue; logger: RecordingLogger } {
  const backend = new FaultyBackend();
  const logger = new RecordingLogger();
  return { backend, logger, mq: new MessageQueue(backend, { logger, reconnect: () => 1 }) };
}

describe("subscribe", () => {
  it("resolves once the group exists, and handles and acks what comes", { timeout }, async () => {
    const { mq } = open();
    const seen: unknown[] = [];
    await using subscription = await mq.subscribe((delivery) => seen.push(delivery.payload), { group: "g" });
    assert.deepEqual((await mq.groups.list()).map((each) => each.name), ["g"]);
    for (let i = 0; i < 5; i++) await mq.publish("k", { i });
    await until(() => seen.length === 5);
    await subscription.drain();
    assert.deepEqual(seen, [0, 1, 2, 3, 4].map((i) => ({ i })));
    assert.equal((await mq.stats()).retained, 0);
    await mq.close();
  });

  it("runs up to concurrency handlers at once, and holds no more than prefetch", { timeout }, async () => {
    const { mq, backend } = open();
    let running = 0;
    let most = 0;
    let done = 0;
    await mq.publishMany(Array.from({ length: 60 }, (_, i) => ({ key: "k", payload: { i } })));
    const subscription = await mq.subscribe(async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 2));
      running--;
      done++;
    }, { concurrency: 7, prefetch: 10 });
    await until(() => done === 60);
    assert.equal(most, 7);
    assert.ok(backend.pulls.every((pull) => pull.max <= 10));
    await subscription.drain();
    await mq.close();
  });

  it("tells of a failure, retries by the policy, and buries by null", { timeout }, async () => {
    const { mq, logger } = open();
    const failures: [number, string][] = [];
    const attempts: number[] = [];
    await using subscription = await mq.subscribe((delivery) => {
      attempts.push(delivery.attempt);
      throw new Error(`no ${delivery.attempt}`);
    }, {
      retry: ({ attempt, error }) => {
        failures.push([attempt, (error as Error).message]);
        return attempt === 3 ? null : attempt;
      },
      onError: (error, delivery) => void failures.push([-delivery.attempt, (error as Error).message]),
    });
    await mq.publish("k", { secret: "xyzzy" });
    await until(async () => (await mq.stats()).groups.default?.dead === 1);
    assert.deepEqual(attempts, [1, 2, 3]);
    assert.deepEqual(failures, [[-1, "no 1"], [1, "no 1"], [-2, "no 2"], [2, "no 2"], [-3, "no 3"], [3, "no 3"]]);
    const { deadLetters } = await mq.deadLetters.list("default");
    assert.equal(deadLetters[0]?.reason, "failed");
    assert.equal(deadLetters[0]?.error, "no 3");
    assert.equal(deadLetters[0]?.attempts, 3);
    assert.equal(logger.lines.filter((line) => line.startsWith("error:")).length, 3);
    assert.ok(!logger.lines.some((line) => line.includes("xyzzy")));
    await subscription.drain();
    await mq.close();
  });

  it("buries by the group's maxAttempts with the last error", { timeout }, async () => {
    const { mq } = open();
    await mq.groups.create("g", { maxAttempts: 2 });
    await using _subscription = await mq.subscribe(() => {
      throw new Error("always");
    }, { group: "g", retry: () => 0 });
    await mq.publish("k", {});
    await until(async () => (await mq.stats()).groups.g?.dead === 1);
    const dead = (await mq.deadLetters.list("g")).deadLetters[0];
    assert.deepEqual([dead?.reason, dead?.error, dead?.attempts], ["exhausted", "always", 2]);
    await mq.close();
  });

  it(
    "goes on when the onError hook or the retry policy throws, or a failing handler had settled",
    { timeout },
    async () => {
      const { mq, logger } = open();
      await mq.groups.create("default", { maxAttempts: 1 });
      let handled = 0;
      await using _subscription = await mq.subscribe(async (delivery) => {
        handled++;
        await delivery.ack();
        throw new Error("after the ack");
      }, {
        onError: () => {
          throw new Error("hook");
        },
      });
      await mq.publish("k", {});
      await mq.publish("k", {});
      await until(() => handled === 2);
      assert.ok(logger.lines.some((line) => line.includes("onError hook failed: hook")));
      await mq.close();
    },
  );

  it("ends with an error when the retry policy returns nonsense", { timeout }, async () => {
    const { mq, logger } = open();
    const subscription = await mq.subscribe(() => {
      throw new Error("x");
    }, { retry: () => NaN });
    await mq.publish("k", {});
    await assert.rejects(subscription.closed, TypeError);
    assert.ok(logger.lines.some((line) => line.includes("ended")));
    assert.deepEqual((await mq.stats()).groups.default?.ready, 1);
    await mq.close();
  });

  it(
    "renews leases while a handler runs, also when it keeps the event loop busy for part of the lease",
    { timeout },
    async () => {
      const { mq, backend } = open();
      let runs = 0;
      const done = Promise.withResolvers<void>();
      await using _subscription = await mq.subscribe(async () => {
        runs++;
        for (let i = 0; i < 3; i++) {
          const busyUntil = Date.now() + 200;
          while (Date.now() < busyUntil);
          await new Promise((resolve) => setTimeout(resolve, 250));
        }
        done.resolve();
      }, { leaseMs: 600, concurrency: 2 });
      await mq.publish("k", {});
      await done.promise;
      assert.equal(runs, 1);
      assert.ok(backend.extensions >= 2);
      await mq.close();
    },
  );

  it("aborts a handler that takes too long, and retries", { timeout }, async () => {
    const { mq } = open();
    const reasons: unknown[] = [];
    await using _subscription = await mq.subscribe(
      (delivery) =>
        delivery.attempt === 1
          ? new Promise((_, reject) =>
            delivery.signal.addEventListener("abort", () => {
              reasons.push(delivery.signal.reason);
              reject(delivery.signal.reason);
            })
          )
          : Promise.resolve(),
      { timeoutMs: 50, retry: () => 0 },
    );
    await mq.publish("k", {});
    await until(async () => (await mq.stats()).retained === 0);
    assert.equal((reasons[0] as MessageQueueError).code, "timeout");
    await mq.close();
  });

  it(
    "drains in two phases: waits, then aborts handlers and gives their messages back without an attempt",
    { timeout },
    async () => {
      const { mq, logger } = open();
      const started = Promise.withResolvers<Delivery>();
      const aborted = Promise.withResolvers<unknown>();
      const subscription = await mq.subscribe((delivery) => {
        started.resolve(delivery);
        delivery.signal.addEventListener("abort", () => aborted.resolve(delivery.signal.reason));
        return new Promise(() => {});
      });
      await mq.publish("k", { i: 1 });
      await mq.publish("k", { i: 2 });
      const delivery = await started.promise;
      await subscription.drain({ timeoutMs: 20 });
      await subscription.drain();
      assert.equal((await aborted.promise as MessageQueueError).code, "closed");
      assert.ok(logger.lines.some((line) => line.includes("did not end in 20 ms")));
      await delivery.ack().catch(() => {});
      const attempts: number[] = [];
      for await (const each of mq.receive()) {
        attempts.push(each.attempt);
        await each.ack();
        if (attempts.length === 2) break;
      }
      assert.deepEqual(attempts, [1, 1]);
      await mq.close();
    },
  );

  it("lets handlers finish when its signal is aborted, and resolves closed", { timeout }, async () => {
    const { mq, backend } = open();
    const { controller, listeners } = countedSignal();
    const started = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    const subscription = await mq.subscribe(async () => {
      started.resolve();
      await finish.promise;
    }, { signal: controller.signal });
    await mq.publish("k", {});
    await started.promise;
    assert.equal(listeners(), 1);
    controller.abort();
    finish.resolve();
    await subscription.closed;
    assert.equal((await mq.stats()).retained, 0);
    assert.equal(backend.openReceivers, 0);
    await assert.rejects(mq.subscribe(() => {}, { signal: controller.signal }), { name: "AbortError" });
    await mq.close();
  });

  it("is drained by disposal of itself and of the queue", { timeout }, async () => {
    const { mq } = open();
    let finished = 0;
    const started = Promise.withResolvers<void>();
    const subscription = await mq.subscribe(async () => {
      started.resolve();
      await new Promise((resolve) => setTimeout(resolve, 30));
      finished++;
    });
    await mq.publish("k", {});
    await started.promise;
    await mq.close();
    assert.equal(finished, 1);
    await subscription.closed;
  });

  it("refuses bad options", { timeout }, async () => {
    const { mq } = open();
    await assert.rejects(mq.subscribe(undefined as never), TypeError);
    await assert.rejects(mq.subscribe(() => {}, { concurrency: 0 }), RangeError);
    await assert.rejects(mq.subscribe(() => {}, { timeoutMs: 0 }), RangeError);
    await assert.rejects(mq.subscribe(() => {}, { drainTimeoutMs: -1 }), RangeError);
    await mq.groups.create("g", { keys: "a.*" });
    await assert.rejects(mq.subscribe(() => {}, { group: "g", keys: "b.*" }), { code: "group_conflict" });
    await mq.close();
  });
});

describe("retryWithBackoff", () => {
  it("gives up after its attempts, and never by itself without them", { timeout }, () => {
    const limited = retryWithBackoff({ attempts: 2, backoff: () => 7 });
    assert.equal(limited({ attempt: 1, error: undefined }), 7);
    assert.equal(limited({ attempt: 2, error: undefined }), null);
    const unlimited = retryWithBackoff();
    for (const attempt of [1, 5, 1_000]) {
      const delay = unlimited({ attempt, error: undefined });
      assert.ok(delay !== null && delay >= 0 && delay <= 60_000);
    }
  });
});
