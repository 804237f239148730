/**
 * The project's gate: `deno task prepare`, `deno task ok`, `deno task test [--runtime=NAME] [--jobs=N] [FILE OR FOLDER...]`.
 *
 * - `prepare` fetches what the others need.
 * - `ok`, for every edit, runs the checks and the tests on Deno.
 * - `test` runs the checks and the tests on all three runtimes; with files or folders named, the tests in these alone.
 *
 * It starts without anything installed, so it imports nothing from a registry.
 *
 * @module
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { root, type Runtime, runtimes } from "../process.ts";
import { runChecks } from "./checks.ts";
import { filesUnder } from "./files.ts";
import { prepare } from "./prepare.ts";
import { type Part, printReport, seconds } from "./report.ts";
import { runSuite } from "./suites.ts";

const usage = "Usage: deno task prepare | ok | test [--runtime=deno,bun,node] [--jobs=N] [TEST_FILE_OR_FOLDER...]";

async function main(): Promise<number> {
  const start = performance.now();
  const { values, positionals: [what, ...named] } = parseArgs({
    allowPositionals: true,
    options: { runtime: { type: "string" }, jobs: { type: "string", default: "2" } },
  });
  if (what !== "prepare" && what !== "ok" && what !== "test") throw new Error(usage);
  const jobs = Number(values.jobs);
  const chosen = (values.runtime ?? (what === "ok" ? "deno" : runtimes.join(","))).split(",");
  if (!Number.isSafeInteger(jobs) || jobs < 1 || !chosen.every(isRuntime)) throw new Error(usage);

  await prepare();
  if (what === "prepare") return 0;
  const all = filesUnder("_test.ts");
  const files = named.length === 0 ? all : named.flatMap((name) => {
    const path = relative(root, resolve(name));
    const inside = all.filter((file) => file.startsWith(`${path}/`));
    return inside.length > 0 ? inside : [path];
  });
  const temporary = await mkdtemp(join(tmpdir(), "abe-mq-gate-"));
  try {
    const parts: Part[] = [];
    if (named.length === 0) parts.push(...await runChecks(jobs, temporary));
    const secondTry = named.length === 0;
    for (const runtime of chosen.filter(isRuntime)) {
      parts.push(await runSuite(runtime, { files, jobs, temporary, secondTry }));
    }
    console.log(`\nAll of it took ${seconds(performance.now() - start)}`);
    return printReport(parts) ? 0 : 1;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

function isRuntime(name: string): name is Runtime {
  return runtimes.some((runtime) => runtime === name);
}

// Ending by `exit` kills the children that are still there.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.log("0 passed, 1 failed");
  process.exitCode = 1;
}
