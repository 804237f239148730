/**
 * How long a message takes from its publish to a waiting consumer of the SQLite backend, in the same process and from another, and what
 * waiting costs. `deno run -A bench/sqlite_latency.ts`, or with `bun`, or `node`.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { SqliteBackend } from "../backends/sqlite.ts";
import { MessageQueue } from "../core/queue.ts";
import { runtime, runtimeVersion } from "../core/runtime.ts";

const count = 300;
const time = () => performance.timeOrigin + performance.now();

async function publish(path: string): Promise<void> {
  await using mq = new MessageQueue(new SqliteBackend({ path }));
  for (let n = 0; n < count; n++) {
    await mq.publish("tick", { at: time() });
    await sleep(5 + Math.random() * 20);
  }
}

async function measure(path: string, publisher: () => Promise<unknown>): Promise<string> {
  await using mq = new MessageQueue(new SqliteBackend({ path }));
  const times: number[] = [];
  const done = Promise.withResolvers<void>();
  await using _subscription = await mq.subscribe<{ at: number }>(({ payload: { at } }) => {
    times.push(time() - at);
    if (times.length === count) done.resolve();
  }, { group: "g" });
  await Promise.all([publisher(), done.promise]);
  times.sort((a, b) => a - b);
  const at = (share: number) => (times[Math.floor(share * (count - 1))] ?? NaN).toFixed(2);
  return `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms`;
}

async function idle(path: string, ms: number): Promise<string> {
  await using mq = new MessageQueue(new SqliteBackend({ path }));
  await using _subscription = await mq.subscribe(() => {}, { group: "g" });
  await sleep(1_000);
  const before = process.cpuUsage();
  await sleep(ms);
  const { user, system } = process.cpuUsage(before);
  return `${((user + system) / 1_000 / ms * 100).toFixed(2)} % of a core`;
}

const [role, given] = process.argv.slice(2);
if (role === "publish" && given !== undefined) {
  await publish(given);
} else {
  const folder = mkdtempSync(join(tmpdir(), "abe-mq-bench-"));
  const path = join(folder, "queue.db");
  const script = fileURLToPath(import.meta.url);
  const flags = runtime === "deno" ? ["run", "-A", "--no-check"] : [];
  const other = () =>
    new Promise((resolve) => spawn(process.execPath, [...flags, script, "publish", path]).once("exit", resolve));
  console.log(`${runtime} ${runtimeVersion}`);
  console.log(`- same process: ${await measure(path, () => publish(path))}`);
  console.log(`- from another process: ${await measure(path, other)}`);
  console.log(`- idle consumer: ${await idle(path, 10_000)}`);
  rmSync(folder, { recursive: true, force: true });
}
