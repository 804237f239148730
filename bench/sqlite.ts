/**
 * The SQLite backend beside a batched loop written by hand on the same `node:sqlite`, in the same run, round by round.
 *
 * In brackets the ratio to the loop by hand, by the clock, and by the processor's time, which a busy machine distorts less.
 *
 * `deno run -A bench/sqlite.ts [FULL|NORMAL] [messages] [rounds]`, or with `bun`, or `node`.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { SqliteBackend } from "../backends/sqlite.ts";
import { createMessage } from "../core/message.ts";
import { MessageQueue } from "../core/queue.ts";
import { runtime, runtimeVersion } from "../core/runtime.ts";

const synchronous = process.argv[2] === "NORMAL" ? "NORMAL" : "FULL";
const total = Number(process.argv[3] ?? 51_200);
const rounds = Number(process.argv[4] ?? 7);
const batch = 256;
const signal = new AbortController().signal;

// JSON of about 200 bytes.
const payload = (n: number) => ({
  n,
  kind: "order",
  customer: "c-1234567890",
  note: "x".repeat(120),
  at: 1_700_000_000_000,
});

type Rates = Record<string, number>;

async function timed(rates: Rates, name: string, action: () => void | Promise<void>): Promise<void> {
  const start = performance.now();
  const before = process.cpuUsage();
  await action();
  const { user, system } = process.cpuUsage(before);
  rates[name] = total / ((performance.now() - start) / 1_000);
  rates[`${name}, CPU`] = total / ((user + system) / 1_000_000);
}

/** The same columns, the same work on payload and id, claim by lease, delete as ack: what one would write for one consumer. */
async function byHand(folder: string, rates: Rates): Promise<void> {
  const db = new DatabaseSync(join(folder, "hand.db"));
  db.exec(`pragma journal_mode = wal; pragma synchronous = ${synchronous};
    create table queue (seq integer primary key, id text not null, key text not null, body text not null, headers text,
      published_at integer not null, attempt integer not null default 0, lease integer not null default 0)`);
  const begin = db.prepare("begin immediate");
  const commit = db.prepare("commit");
  const insert = db.prepare("insert into queue (id, key, body, headers, published_at) values (?, ?, ?, ?, ?)");
  const claim = db.prepare(`update queue set lease = ?, attempt = attempt + 1
    where seq in (select seq from queue where lease < ? order by seq limit ?)
    returning seq, id, key, body, headers, published_at, attempt`);
  const remove = db.prepare("delete from queue where seq in (select value from json_each(?))");
  const publish = (from: number) => {
    begin.run();
    for (let n = from; n < from + batch; n++) {
      insert.run(crypto.randomUUID(), "order.created", JSON.stringify(payload(n)), null, Date.now());
    }
    commit.run();
  };
  const consume = () => {
    begin.run();
    const rows = claim.all(Date.now() + 30_000, Date.now(), batch) as { seq: number; body: string }[];
    commit.run();
    for (const row of rows) JSON.parse(row.body);
    begin.run();
    remove.run(JSON.stringify(rows.map((row) => row.seq)));
    commit.run();
  };
  await timed(rates, "publish", () => {
    for (let n = 0; n < total; n += batch) publish(n);
  });
  await timed(rates, "claim + ack", () => {
    for (let n = 0; n < total; n += batch) consume();
  });
  await timed(rates, "end to end", () => {
    for (let n = 0; n < total; n += batch) {
      publish(n);
      consume();
    }
  });
  db.close();
}

/** The backend, as the queue uses it. */
async function backendAlone(folder: string, rates: Rates): Promise<void> {
  const backend = new SqliteBackend({ path: join(folder, "backend.db"), synchronous });
  const receiver = await backend.receive({ group: "g", leaseMs: 30_000 });
  const publish = (from: number) =>
    backend.publishMany(Array.from({ length: batch }, (_, n) => createMessage("order.created", payload(from + n))));
  const consume = async () => {
    const claims = await receiver.pull({ max: batch, signal });
    for (const claim of claims) JSON.parse(String(claim.body));
    await receiver.settle(claims.map((claim) => ({ claim, verb: "ack" })));
  };
  await timed(rates, "publish", async () => {
    for (let n = 0; n < total; n += batch) await publish(n);
  });
  await timed(rates, "claim + ack", async () => {
    for (let n = 0; n < total; n += batch) await consume();
  });
  await timed(rates, "end to end", async () => {
    for (let n = 0; n < total; n += batch) {
      await publish(n);
      await consume();
    }
  });
  await receiver.close();
  await backend[Symbol.asyncDispose]();
}

/** The queue, as an application uses it: single publishes, a managed subscription. */
async function wholeQueue(folder: string, rates: Rates): Promise<void> {
  const mq = new MessageQueue(new SqliteBackend({ path: join(folder, "queue.db"), synchronous }));
  await mq.groups.create("g");
  const publish = (from: number) =>
    Promise.all(Array.from({ length: batch }, (_, n) => mq.publish("order.created", payload(from + n))));
  const handled = async (work: () => Promise<void>) => {
    const done = Promise.withResolvers<void>();
    let count = 0;
    const subscription = await mq.subscribe(() => {
      if (++count === total) done.resolve();
    }, { group: "g", concurrency: batch, prefetch: 2 * batch });
    await Promise.all([work(), done.promise]);
    await subscription.drain();
  };
  await timed(rates, "publish", async () => {
    for (let n = 0; n < total; n += batch) await publish(n);
  });
  await timed(rates, "claim + ack", () => handled(() => Promise.resolve()));
  await timed(rates, "end to end", () =>
    handled(async () => {
      for (let n = 0; n < total; n += batch) await publish(n);
    }));
  await mq.close();
}

const contestants = { "by hand": byHand, backend: backendAlone, queue: wholeQueue };
const results: Record<string, Rates[]> = {};
for (let round = 0; round < rounds; round++) {
  for (const [name, contestant] of Object.entries(contestants)) {
    const folder = mkdtempSync(join(tmpdir(), "abe-mq-bench-"));
    const rates: Rates = {};
    await contestant(folder, rates);
    rmSync(folder, { recursive: true, force: true });
    // The first round warms up.
    if (round > 0 || rounds === 1) (results[name] ??= []).push(rates);
  }
}

function median(values: number[]): number {
  const sorted = values.sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

console.log(
  `${runtime} ${runtimeVersion}, synchronous ${synchronous}, ${total} messages, medians of ${
    Math.max(1, rounds - 1)
  } rounds`,
);
console.log("| | publish | claim + ack | end to end |\n| --- | --- | --- | --- |");
const base = (what: string) => median((results["by hand"] ?? []).map((rates) => rates[what] ?? NaN));
for (const [name, rates] of Object.entries(results)) {
  const cells = ["publish", "claim + ack", "end to end"].map((what) => {
    const rate = (of: string) => median(rates.map((each) => each[of] ?? NaN));
    const ratio = (of: string) => (rate(of) / base(of)).toFixed(2);
    return `${Math.round(rate(what) / 1_000)}k/s (${ratio(what)}, CPU ${ratio(`${what}, CPU`)})`;
  });
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}
