/**
 * Many publishers and consumers, and the account of what came of it: every publish that resolved must reach every group.
 *
 * @module
 */

import assert from "node:assert/strict";
import { MessageQueue, type MessageQueueOptions, silentLogger, type Subscription } from "../../../mod.ts";
import { RedisBackend, type RedisBackendOptions } from "../../../backends/redis.ts";
import { until } from "../../wait.ts";

/** Reconnects quickly. */
export const eager: MessageQueueOptions = { logger: silentLogger, reconnect: () => 20 };

/** How much traffic. */
export interface TrafficOptions {
  readonly publishers?: number;
  readonly consumers?: number;
  readonly groups?: readonly string[];
  readonly leaseMs?: number;
}

/** Traffic that goes on until it is stopped; disposing it stops it without an account, so that a test that fails leaves nothing behind. */
export interface Traffic extends AsyncDisposable {
  /** How many publishes have resolved. */
  readonly acknowledged: () => number;
  /** Stops publishing, waits until everything has arrived everywhere, and closes. */
  finish(): Promise<Account>;
  /** Stops publishing, waits until nothing comes any more for a while, and closes: for what is allowed to lose. */
  abandon(): Promise<Account>;
}

/** What came of it. */
export interface Account {
  readonly acknowledged: number;
  /** Acknowledged and never delivered, over all groups. */
  readonly lost: number;
  /** Deliveries beyond the first of a message in a group. */
  readonly repeated: number;
}

/** Waits for so many further publishes to be acknowledged, which shows that traffic flows. */
export async function flows(traffic: Traffic, count = 100): Promise<void> {
  const goal = traffic.acknowledged() + count;
  await until(() => traffic.acknowledged() >= goal, { what: "publishes to be acknowledged", timeoutMs: 60_000 });
}

/** Starts traffic. */
export async function startTraffic(options: RedisBackendOptions, traffic: TrafficOptions = {}): Promise<Traffic> {
  const { publishers = 8, consumers = 3, groups = ["one", "two"], leaseMs = 1_500 } = traffic;
  const open = () => new MessageQueue(new RedisBackend(options), eager);
  const queues: MessageQueue[] = [];
  const acknowledged = new Set<number>();
  const seen = new Map(groups.map((group) => [group, new Map<number, number>()]));
  const subscriptions: Subscription[] = [];
  for (const [group, numbers] of seen) {
    for (let i = 0; i < consumers; i++) {
      const queue = open();
      queues.push(queue);
      subscriptions.push(
        await queue.subscribe<{ n: number }>(({ payload }) => {
          numbers.set(payload.n, (numbers.get(payload.n) ?? 0) + 1);
        }, { group, leaseMs, concurrency: 8, prefetch: 32 }),
      );
    }
  }
  const stop = new AbortController();
  let next = 0;
  const producer = open();
  queues.push(producer);
  const publishing = Array.from({ length: publishers }, async () => {
    while (!stop.signal.aborted) {
      const n = next++;
      try {
        await producer.publish("audit.message", { n }, { publishTimeoutMs: 60_000 });
        acknowledged.add(n);
      } catch {
        // Refused, or its outcome unknown: nothing was promised.
      }
      // A little air, so that the machine has time for the servers.
      if (n % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  });
  const missing = () => {
    let count = 0;
    for (const numbers of seen.values()) for (const n of acknowledged) if (!numbers.has(n)) count++;
    return count;
  };
  const end = async (): Promise<void> => {
    await Promise.all(subscriptions.map((each) => each.drain({ timeoutMs: 10_000 })));
    await Promise.all(queues.map((queue) => queue.close()));
  };
  const close = async (): Promise<Account> => {
    await end();
    let repeated = 0;
    for (const numbers of seen.values()) for (const times of numbers.values()) repeated += times - 1;
    return { acknowledged: acknowledged.size, lost: missing(), repeated };
  };
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await end();
    },
    acknowledged: () => acknowledged.size,
    finish: async () => {
      stop.abort();
      await Promise.all(publishing);
      await until(() => missing() === 0, { what: "all that was acknowledged to arrive", timeoutMs: 60_000 }).catch(
        () => {
          assert.equal(missing(), 0, "acknowledged and not delivered");
        },
      );
      return await close();
    },
    abandon: async () => {
      stop.abort();
      await Promise.all(publishing);
      let [count, since] = [missing(), Date.now()];
      await until(() => {
        const now = missing();
        if (now !== count) [count, since] = [now, Date.now()];
        return now === 0 || Date.now() - since > 3 * leaseMs;
      }, { what: "the deliveries to come to rest", timeoutMs: 60_000 });
      return await close();
    },
  };
}
