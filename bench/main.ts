/**
 * `deno task bench`: measures everything and writes `bench/README.md`, `bench/results.json` and `bench/plots/`.
 *
 * - `--quick`: a little of everything, for development; writes into `.tools/bench/quick/`.
 * - `--only=memory,sqlite,redis`, `--parts=ladder,growth,processes,costs`, `--runtimes=deno,bun,node`, `--rounds=N`: a part of it; what
 *   was not measured is kept from the last run.
 * - `--report`: writes the report anew from `bench/results.json`.
 *
 * @module
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { installPeers } from "./peers.ts";
import { type Effort, full, growths, ladders, quick } from "./plan.ts";
import { plot } from "./plot.ts";
import { report } from "./report.ts";
import { describeCommit, describeMachine, type Results } from "./results.ts";
import { runCosts, runGrowth, runLadder, runProcesses } from "./runner.ts";
import { root, type Runtime, runtimes, startRedis } from "./runtimes.ts";
import type { BackendName } from "./subjects/mod.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    report: { type: "boolean", default: false },
    only: { type: "string", default: "memory,sqlite,redis" },
    parts: { type: "string", default: "ladder,growth,processes,costs" },
    runtimes: { type: "string" },
    rounds: { type: "string" },
  },
});

async function measure(results: Results, effort: Effort, save: () => void): Promise<void> {
  const parts = values.parts.split(",");
  const backends = values.only.split(",") as BackendName[];
  const say = (line: string) => console.log(line);
  const replace = <T>(rows: T[], stale: (row: T) => boolean, fresh: readonly T[]) => {
    rows.splice(0, rows.length, ...rows.filter((row) => !stale(row)), ...fresh);
  };
  await using server = await startRedis();
  for (const backend of backends) {
    const mine = (row: { readonly backend: string }) => row.backend === backend;
    const ladder = ladders.find(mine);
    if (parts.includes("ladder") && ladder !== undefined) {
      replace(results.rows, mine, await runLadder(ladder, effort, server, say));
      save();
    }
    if (parts.includes("growth")) replace(results.growth, mine, await runGrowth(backend, effort, server, say));
    if (parts.includes("processes") && backend !== "memory") {
      replace(results.processes, mine, await runProcesses(backend, effort, server, say));
    }
    save();
  }
  if (parts.includes("costs")) {
    const { startup, idle } = await runCosts(backends, effort, server, say);
    replace(results.startup, () => true, startup);
    replace(results.idle, () => true, idle);
  }
}

function write(results: Results, folder: string): void {
  mkdirSync(join(folder, "plots"), { recursive: true });
  writeFileSync(join(folder, "results.json"), JSON.stringify(results) + "\n");
  const notes = readFileSync(join(root, "bench/notes.md"), "utf8");
  writeFileSync(join(folder, "README.md"), report(results, notes));
  for (const { of, unit } of growths) {
    const rows = results.growth.filter((row) => row.of === of);
    if (rows.length === 0) continue;
    const curves = [...new Set(rows.map((row) => row.backend))].flatMap((backend) => {
      const mine = rows.filter((row) => row.backend === backend);
      return [
        { name: `${backend} publish`, points: mine.map((row) => [row.to, row.publishUs] as const) },
        { name: `${backend} claim + ack`, points: mine.map((row) => [row.to, row.consumeUs] as const) },
      ];
    });
    writeFileSync(join(folder, `plots/${of}.svg`), plot(`Cost against ${of}`, unit, "µs a message", curves));
  }
  if (results.processes.length > 0) {
    const backends = [...new Set(results.processes.map((row) => row.backend))];
    const curves = backends.map((name) => ({
      name,
      points: results.processes.filter((row) => row.backend === name).map((row) => [row.processes, row.rate] as const),
    }));
    writeFileSync(join(folder, "plots/processes.svg"), plot("Consumers", "processes", "messages a second", curves));
  }
}

const effort: Effort = {
  ...(values.quick ? quick : full),
  ...(values.runtimes !== undefined && {
    runtimes: runtimes.filter((each: Runtime) => values.runtimes?.split(",").includes(each)),
  }),
  ...(values.rounds !== undefined && { rounds: Number(values.rounds) }),
};
const folder = values.quick ? join(root, ".tools/bench/quick") : join(root, "bench");
const kept = join(folder, "results.json");
const before = existsSync(kept) ? JSON.parse(readFileSync(kept, "utf8")) as Results : undefined;
if (values.report) {
  if (before === undefined) throw new Error(`There are no results in ${kept}: run \`deno task bench\` first`);
  write(before, folder);
} else {
  await installPeers();
  const start = performance.now();
  const results: Results = {
    rows: before?.rows ?? [],
    growth: before?.growth ?? [],
    processes: before?.processes ?? [],
    startup: before?.startup ?? [],
    idle: before?.idle ?? [],
    date: new Date().toISOString().slice(0, 10),
    commit: describeCommit(),
    // What is measured in parts is one run with the same settings.
    command: values.quick ? "deno task bench --quick" : "deno task bench",
    rounds: effort.rounds,
    machine: describeMachine(values.quick ? effort.runtimes : runtimes),
  };
  await measure(results, effort, () => write(results, folder));
  write(results, folder);
  console.log(`Done in ${((performance.now() - start) / 60_000).toFixed(1)} minutes: ${join(folder, "README.md")}`);
}
