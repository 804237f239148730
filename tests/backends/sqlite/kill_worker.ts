/**
 * A publisher or a consumer that is to be killed. It writes, in lines and before it goes on, what it knows to be true: `p N` once the
 * publish of N has resolved, `g N` before N is acked, `a N` once the ack has resolved. What is in the pipe outlives the process.
 *
 * `kill_worker.ts publisher|consumer FILE FIRST FULL|NORMAL`
 */

import { writeSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { SqliteBackend } from "../../../backends/sqlite.ts";
import type { PublishOptions } from "../../../core/message.ts";
import { MessageQueue } from "../../../core/queue.ts";
import { killLeaseMs } from "./kill.ts";

const batch = 16;

function say(lines: readonly string[]): void {
  writeSync(1, lines.map((line) => `${line}\n`).join(""));
}

function optionsFor(n: number): PublishOptions {
  if (n % 10 === 3) return { delayMs: n % 40 };
  if (n % 10 === 5) return { orderingKey: `key-${n % 3}` };
  if (n % 10 === 7) return { id: `id-${n}`, headers: { n: `${n}` } };
  return {};
}

async function publishForEver(mq: MessageQueue, first: number): Promise<void> {
  for (let n = first;; n += batch) {
    const numbers = Array.from({ length: batch }, (_, index) => n + index);
    const results = n % 64 < batch
      ? await Promise.allSettled([mq.publishMany(numbers.map((n) => ({ key: "kill.many", payload: { n } })))])
      : await Promise.allSettled(numbers.map((n) => mq.publish("kill.one", { n }, optionsFor(n))));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined && (failed.reason as { code?: string }).code !== "full") throw failed.reason;
    say(
      numbers.filter((_, index) => results[results.length === 1 ? 0 : index]?.status === "fulfilled").map((n) =>
        `p ${n}`
      ),
    );
    await sleep(failed === undefined ? 5 : 50);
  }
}

async function consumeForEver(mq: MessageQueue): Promise<void> {
  const deliveries = mq.receive<{ n: number }>({ group: "g", prefetch: batch, leaseMs: killLeaseMs });
  const settling = new Set<Promise<void>>();
  for await (const delivery of deliveries) {
    const { n } = delivery.payload;
    say([`g ${n}`]);
    const settled = n % 17 === 0 && delivery.attempt === 1
      ? delivery.nack({ delayMs: 10 })
      : delivery.ack().then(() => say([`a ${n}`]));
    settling.add(settled);
    void settled.then(() => settling.delete(settled));
    if (settling.size >= batch / 2) await Promise.race(settling);
  }
}

// Node keeps what it compiled when it ends by itself, which a killed process does not.
if (process.argv[2] === "warm") process.exit(0);
const [role, path, first, synchronous] = process.argv.slice(2);
if (path === undefined || (synchronous !== "FULL" && synchronous !== "NORMAL")) throw new TypeError("Wrong arguments");
// A worker outlives nobody.
process.stdin.on("end", () => process.exit(1)).resume();
const mq = new MessageQueue(new SqliteBackend({ path, synchronous, maxLength: 3_000 }));
if (role === "publisher") await publishForEver(mq, Number(first));
else await consumeForEver(mq);
