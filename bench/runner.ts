/**
 * Runs what the plan says, round by round: in each round everybody takes a turn, so that whatever else the machine does befalls all alike.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Task } from "./child.ts";
import { runConsumers, type Share } from "./consumers.ts";
import type { Cost } from "./growth.ts";
import type { Idle, Latency, Throughput } from "./measure.ts";
import { type Effort, type Growths, growths, type Ladder, loads, processSteps } from "./plan.ts";
import { command, findProgram, output, type RedisServer, root, type Runtime } from "./runtimes.ts";
import type { Startup } from "./startup.ts";
import type { BackendName } from "./subjects/mod.ts";
import type { LoadName } from "./work.ts";

/** What was measured of one candidate, in all rounds. */
export interface Row {
  readonly backend: BackendName;
  readonly load: LoadName;
  readonly runtime: Runtime | "none";
  readonly subject: string;
  readonly throughput: Throughput[];
  readonly latency: Latency[];
}

/** What was measured of one step. */
export interface GrowthRow extends Cost {
  readonly backend: BackendName;
  readonly of: Growths["of"];
  readonly to: number;
}

/** Messages a second through so many processes. */
export interface ProcessRow {
  readonly backend: BackendName;
  readonly processes: number;
  readonly rate: number;
  /** How many were handled more than once. */
  readonly extra: number;
}

/** A start, or idleness, in all rounds. */
export interface CostRow<T> {
  readonly backend: BackendName | "none";
  readonly runtime: Runtime;
  readonly rounds: T[];
}

/** Says what happens. */
export type Say = (line: string) => void;

function parse<T>(text: string): T {
  const [, json] = text.match(/^RESULT (.*)$/m) ?? [];
  if (json === undefined) throw new Error(`A measurement ended without a result: ${text}`);
  return JSON.parse(json) as T;
}

/** Runs one task in a process of its own. */
export async function perform<T>(runtime: Runtime, task: Task, copy: string = root): Promise<T> {
  const args = [...command(runtime, join(copy, "bench/child.ts"), copy), JSON.stringify(task)];
  return parse<T>(await output(args, { cwd: copy }));
}

/** Compares on one backend. */
export async function runLadder(ladder: Ladder, effort: Effort, server: RedisServer, say: Say): Promise<Row[]> {
  const { backend, contestants, counts } = ladder;
  const rows: Row[] = [];
  for (const load of loads) {
    for (const runtime of effort.runtimes) {
      for (const { subject, everyLoad = false, runtimes = effort.runtimes } of contestants) {
        if (!runtimes.includes(runtime) || (load !== "200 B" && !everyLoad)) continue;
        rows.push({ backend, load, runtime, subject, throughput: [], latency: [] });
      }
    }
  }
  for (let round = 1; round <= effort.rounds; round++) {
    for (const { load, runtime, subject, throughput, latency } of rows) {
      if (runtime === "none") continue;
      const who = contestants.find((each) => each.subject === subject);
      const task: Omit<Task, "what" | "count"> = { backend, subject, load, url: server.url };
      const count = Math.max(256, Math.round(counts[load] / effort.divisor / (who?.divisor ?? 1)));
      try {
        const result = await perform<Throughput>(runtime, { ...task, what: "throughput", count });
        throughput.push(result);
        const rates = [result.publish, result.consume, result.through].map((each) => each && Math.round(each.rate));
        say(`${backend} ${load} round ${round} ${runtime} ${subject}: ${rates.map((rate) => rate ?? "-").join(" / ")}`);
        if (who?.latency === true && load === "200 B") {
          latency.push(await perform<Latency>(runtime, { ...task, what: "latency", count: effort.latencies }));
        }
      } catch (error) {
        // One that fails has a round less; that is said, and the others go on.
        say(`${backend} ${load} round ${round} ${runtime} ${subject} FAILED: ${String(error)}`);
      }
      if (backend === "redis") await server.flush();
    }
    if (backend === "memory") {
      await add(rows, backend, "Python's asyncio.Queue", () => runPython(counts["200 B"], effort));
    }
    if (backend === "redis") await add(rows, backend, "redis-benchmark", () => runRedisBenchmark(server, effort));
  }
  return rows;
}

async function add(rows: Row[], backend: BackendName, subject: string, run: () => Promise<Throughput>): Promise<void> {
  let row = rows.find((each) => each.subject === subject);
  if (row === undefined) {
    rows.push(row = { backend, load: "200 B", runtime: "none", subject, throughput: [], latency: [] });
  }
  row.throughput.push(await run());
}

async function runPython(count: number, { divisor }: Effort): Promise<Throughput> {
  if (findProgram("python3") === undefined) return { peakMb: NaN };
  const args = ["python3", join(root, "bench/asyncio_queue.py"), String(Math.round(count / divisor))];
  return JSON.parse(await output(args)) as Throughput;
}

async function runRedisBenchmark(server: RedisServer, { divisor }: Effort): Promise<Throughput> {
  const program = findProgram("redis-benchmark");
  if (program === undefined) return { peakMb: NaN };
  const what = ["XADD", "limit", "*", "m", "x".repeat(260)];
  const args = ["-p", String(server.port), "-c", "1", "-P", "256", "-n", String(512_000 / divisor), "--csv", ...what];
  const text = await output([program.path, ...args], { env: program.env });
  await server.flush();
  const rate = Number(text.trim().split("\n").at(-1)?.match(/","?([\d.]+)"/)?.[1]);
  return { publish: { rate, cpuUs: NaN }, peakMb: NaN };
}

/** What a message costs as something grows, on one backend; on Deno. */
export async function runGrowth(
  backend: BackendName,
  effort: Effort,
  server: RedisServer,
  say: Say,
): Promise<GrowthRow[]> {
  const rows: GrowthRow[] = [];
  for (const { of, steps } of growths) {
    for (const to of steps.filter((step) => step <= effort.largest)) {
      const task = { what: "growth", backend, subject: "backend", load: "200 B", url: server.url } as const;
      const cost = await perform<Cost>("deno", { ...task, count: effort.rounds * 8, growth: { of, to } });
      rows.push({ backend, of, to, ...cost });
      say(`${backend} ${of} ${to}: publish ${cost.publishUs.toFixed(2)} us, consume ${cost.consumeUs.toFixed(2)} us`);
      if (backend === "redis") await server.flush();
    }
  }
  return rows;
}

/** Many processes on one group; on Bun, which starts fastest. */
export async function runProcesses(
  backend: BackendName,
  effort: Effort,
  server: RedisServer,
  say: Say,
): Promise<ProcessRow[]> {
  const rows: ProcessRow[] = [];
  const runtime = effort.runtimes.includes("bun") ? "bun" : "deno";
  for (const processes of processSteps.filter((step) => step <= effort.processes)) {
    const folder = mkdtempSync(join(tmpdir(), "abe-mq-bench-"));
    const count = Math.round(60_000 / effort.divisor);
    const name = `processes-${processes}`;
    const task = { backend, subject: "subscribe", load: "200 B", url: server.url, folder, name, count } as const;
    await perform(runtime, { ...task, what: "fill" });
    const start = [...command(runtime, join(root, "bench/child.ts")), JSON.stringify({ ...task, what: "consumer" })];
    const shares: Share[] = (await runConsumers(processes, start)).filter((share) => share.count > 0);
    rmSync(folder, { recursive: true, force: true });
    if (backend === "redis") await server.flush();
    const handled = shares.reduce((sum, share) => sum + share.count, 0);
    const ms = Math.max(...shares.map((share) => share.last)) - Math.min(...shares.map((share) => share.first));
    rows.push({ backend, processes, rate: handled / ms * 1_000, extra: handled - count });
    say(`${backend} ${processes} processes: ${Math.round(handled / ms * 1_000)} a second, ${handled} of ${count}`);
  }
  return rows;
}

/** Starts, and idleness. */
export async function runCosts(
  backends: readonly BackendName[],
  effort: Effort,
  server: RedisServer,
  say: Say,
): Promise<{ startup: CostRow<Startup>[]; idle: CostRow<Idle>[] }> {
  const startup: CostRow<Startup>[] = [];
  const idle: CostRow<Idle>[] = [];
  for (const runtime of effort.runtimes) {
    for (const backend of ["none", ...backends] as const) startup.push({ runtime, backend, rounds: [] });
    for (const backend of backends) idle.push({ runtime, backend, rounds: [] });
  }
  for (let round = 0; round <= effort.rounds; round++) {
    for (const { runtime, backend, rounds } of startup) {
      const folder = mkdtempSync(join(tmpdir(), "abe-mq-bench-"));
      const env = {
        ...(backend !== "none" && { MESSAGE_QUEUE_BACKEND: backend }),
        ...(backend === "redis" && { MESSAGE_QUEUE_URL: server.url }),
        ...(backend === "sqlite" && { MESSAGE_QUEUE_PATH: join(folder, "queue.db") }),
      };
      const result = parse<Startup>(await output(command(runtime, join(root, "bench/startup.ts")), { env }));
      // The first start fills the caches.
      if (round > 0 || effort.rounds === 1) rounds.push(result);
      rmSync(folder, { recursive: true, force: true });
      say(`start ${runtime} ${backend}: ${result.importMs.toFixed(1)} ms, ${result.openMs?.toFixed(1) ?? "-"} ms`);
    }
  }
  for (const { runtime, backend, rounds } of idle) {
    if (backend === "none") continue;
    const task = { what: "idle", backend, subject: "subscribe 1", load: "200 B", url: server.url } as const;
    rounds.push(await perform<Idle>(runtime, { ...task, count: effort.idleMs }));
    say(`idle ${runtime} ${backend}: ${rounds.at(-1)?.cpuPercent.toFixed(2)} %`);
  }
  return { startup, idle };
}
