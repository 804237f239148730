/**
 * Runs the test files on a runtime, each in a process of its own: one that crashes or hangs takes no other with it, and what it leaves
 * behind is seen.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { type Command, denoConfig, type Runtime, runtimePath, spawn } from "../process.ts";
import { until } from "../wait.ts";
import { parseJunit, type TestCase } from "./junit.ts";
import { pool } from "./pool.ts";
import { type Part, printBlock, seconds } from "./report.ts";

/** After so long a runtime's suite is killed. */
const suiteMs = 20 * 60_000;
/** How long processes that a test has killed may take to vanish, after the test's own process ended. */
const graceMs = 3_000;

/** How to run the test files. */
export interface SuiteOptions {
  /** The test files, relative to the repository. */
  readonly files: readonly string[];
  /** How many at once. */
  readonly jobs: number;
  /** A folder for what the runners write. */
  readonly temporary: string;
  /**
   * After so many milliseconds a file is killed.
   *
   * @default {360_000}
   */
  readonly fileMs?: number;
  /**
   * Whether files that failed are run once more, each by itself, when they are few. Many tests wait for leases of a second or two, and on a machine that
   * stands still for as long they fail without a fault. What needed a second try is reported, and what fails again has failed.
   *
   * @default {false}
   */
  readonly secondTry?: boolean;
}

// A fault in the code fails in more files than this, or in the second try.
const mostSecondTries = 3;

/**
 * Runs test files on a runtime.
 *
 * @param runtime Which one.
 * @param options Which files, and how.
 * @returns How they went.
 */
export async function runSuite(runtime: Runtime, options: SuiteOptions): Promise<Part> {
  const { files, jobs, temporary, fileMs = 6 * 60_000 } = options;
  const start = performance.now();
  const deadline = start + suiteMs;
  const results = await pool(files, jobs, (file) => {
    const limitMs = Math.min(fileMs, deadline - performance.now());
    return runFile(runtime, file, limitMs, temporary);
  });
  const retried: string[] = [];
  const failing = [...results.entries()].filter(([, cases]) => failuresIn(cases).length > 0);
  if (options.secondTry === true && failing.length <= mostSecondTries) {
    for (const [index, before] of failing) {
      const file = files[index] ?? "";
      const after = await runFile(runtime, file, Math.min(fileMs, deadline - performance.now()), temporary);
      results[index] = after;
      if (failuresIn(after).length === 0) retried.push(...failuresIn(before));
    }
  }
  const all = results.flat();
  const named = (outcome: TestCase["outcome"]) =>
    all.filter((each) => each.outcome === outcome).map(({ name, reason }) =>
      reason === "" ? name : `${name} (${reason})`
    );
  return {
    name: runtime,
    passed: named("passed").length,
    failed: named("failed"),
    skipped: named("skipped"),
    retried,
    elapsedMs: performance.now() - start,
  };
}

function failuresIn(cases: readonly TestCase[]): string[] {
  return cases.filter((each) => each.outcome === "failed").map((each) => each.name);
}

async function runFile(runtime: Runtime, file: string, limitMs: number, temporary: string): Promise<TestCase[]> {
  const failure = (why: string): TestCase => ({ name: `${file}: ${why}`, outcome: "failed", reason: "" });
  const begun = performance.now();
  if (limitMs <= 0) return [failure(`not run, as the suite was still running after ${seconds(suiteMs)}`)];
  const junit = join(temporary, `${runtime}-${file.replaceAll(/[^\w.-]/g, "-")}.xml`);
  await using child = spawn(testCommand(runtime, file, junit), { group: true });
  child.endInput();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, limitMs);
  const { code, signal, output } = await child.exited.finally(() => clearTimeout(timer));
  const left = !timedOut && await leftovers(child);
  child.sweep();

  const tests = parseJunit(await readFile(junit, "utf8").catch(() => ""));
  const cases = tests.map((each) => ({ ...each, name: `${file}: ${each.name}` }));
  const failed = cases.some((each) => each.outcome === "failed");
  if (timedOut) {
    cases.push(
      failure(`killed after ${seconds(limitMs)}: a test hangs, or something keeps the process alive after them`),
    );
  } else if (code !== 0 && !failed) {
    cases.push(failure(`ended with ${signal ?? `exit code ${code}`} outside of its tests`));
  } else if (cases.length === 0) cases.push(failure("no test in it was run"));
  if (left) cases.push(failure("it left processes behind"));
  const bad = cases.filter((each) => each.outcome === "failed");
  const skipped = cases.filter((each) => each.outcome === "skipped").length;
  const counts = [
    `${cases.length - bad.length - skipped} passed`,
    ...bad.length > 0 ? [`${bad.length} FAILED`] : [],
    ...skipped > 0 ? [`${skipped} skipped`] : [],
  ];
  console.log(`${runtime}: ${file}: ${counts.join(", ")} (${seconds(performance.now() - begun)})`);
  if (bad.length > 0) printBlock(`${runtime} ${file}`, output);
  return cases;
}

async function leftovers(child: ReturnType<typeof spawn>): Promise<boolean> {
  const gone = await until(() => !child.groupAlive(), { what: "the test's processes to end", timeoutMs: graceMs })
    .catch(() => false);
  return !gone;
}

function testCommand(runtime: Runtime, file: string, junit: string): Command {
  const command = runtimePath(runtime);
  const env = cleared();
  if (runtime === "deno") {
    const flags = ["-A", "--no-prompt", "--no-check", "--no-lock", "--config", denoConfig(), `--junit-path=${junit}`];
    return { command, args: ["test", ...flags, file], env };
  }
  if (runtime === "bun") {
    const flags = ["--timeout=120000", "--reporter=junit", `--reporter-outfile=${junit}`];
    return { command, args: ["test", ...flags, `./${file}`], env };
  }
  // Not `--test`, which adds a process and ends it by force; so a test that leaves something running is seen to hang.
  const reporters = [["spec", "stdout"], ["junit", junit]];
  const flags = reporters.flatMap((
    [reporter, to],
  ) => [`--test-reporter=${reporter}`, `--test-reporter-destination=${to}`]);
  return { command, args: [...flags, file], env };
}

// What the developer has set for an application of his own must not change what the tests find.
function cleared(): Record<string, undefined> {
  const names = Object.keys(process.env).filter((name) =>
    /^(MESSAGE_QUEUE_|ABE_MQ_|ABSTRACT_BACKEND_|QUEUE_BACKEND$)/.test(name)
  );
  return Object.fromEntries(names.map((name) => [name, undefined]));
}
