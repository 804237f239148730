/**
 * What publishing and claiming cost as the backlog and the number of groups grow: microseconds a message, in batches of 256.
 * `deno run -A bench/sqlite_scale.ts`, or with `bun`, or `node`.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteBackend } from "../backends/sqlite.ts";
import { createMessage } from "../core/message.ts";
import { runtime, runtimeVersion } from "../core/runtime.ts";

const batch = 256;
const rounds = 40;
const signal = new AbortController().signal;

const messages = () =>
  Array.from({ length: batch }, (_, n) => createMessage("order.created", { n, note: "x".repeat(150) }));

async function cost(action: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    await action();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  return (times[rounds / 2] ?? NaN) * 1_000 / batch;
}

async function measure(backlog: number, groups: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "abe-mq-bench-"));
  const backend = new SqliteBackend({ path: join(folder, "queue.db"), synchronous: "NORMAL" });
  await Promise.all(Array.from({ length: groups - 1 }, (_, n) => backend.groups.create(`other.${n}`)));
  const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
  for (let n = 0; n < backlog; n += batch) await backend.publishMany(messages());
  const publish = await cost(() => backend.publishMany(messages()));
  const claim = await cost(async () => {
    const claims = await receiver.pull({ max: batch, signal });
    await receiver.settle(claims.map((claim) => ({ claim, verb: "ack" })));
  });
  console.log(`| ${backlog} | ${groups} | ${publish.toFixed(1)} | ${claim.toFixed(1)} |`);
  await receiver.close();
  await backend[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}

console.log(
  `${runtime} ${runtimeVersion}, µs a message\n\n| backlog | groups | publish | claim + ack |\n| --- | --- | --- | --- |`,
);
for (const [backlog, groups] of [[0, 1], [1_000, 1], [1_000_000, 1], [1_000, 1_000]] as const) {
  await measure(backlog, groups);
}
