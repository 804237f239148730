/**
 * The checks that run no test: format, lint, types, docs, and whether the package could be published.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { denoConfig, root, run, runtimePath } from "../process.ts";
import { filesUnder } from "./files.ts";
import { parseJunit, type TestCase } from "./junit.ts";
import { pool } from "./pool.ts";
import { type Part, printBlock, seconds } from "./report.ts";

/** The packages of the workspace: their folders, the first the root's. */
const packages: readonly string[] = [".", ...JSON.parse(readFileSync(join(root, "deno.json"), "utf8")).workspace];

/** The folders and files that ship. */
const library = ["mod.ts", "core", "backends", "plugins", "testing", ...packages.slice(1)];

interface Check {
  readonly name: string;
  readonly args: readonly string[];
}

// An example that hangs is to be told from a slow machine.
const checkMs = 180_000;

/**
 * Runs all checks, a few at a time.
 *
 * @param jobs How many at once.
 * @param temporary A folder for what they write.
 * @returns How they went: the checks, and the examples in the docs, which are tests.
 */
export async function runChecks(jobs: number, temporary: string): Promise<Part[]> {
  const config = ["--config", denoConfig()];
  const junit = join(temporary, "docs.xml");
  const documented = [...filesUnder(".ts", library), ...filesUnder(".md", ["README.md", "docs"])];
  const docTest: Check = {
    name: "examples in docs",
    args: ["test", "--doc", "-A", "--no-lock", "--permit-no-files", ...config, `--junit-path=${junit}`, ...documented],
  };
  // The slow ones first, so that none is left over at the end with a core idle.
  const checks: Check[] = [
    docTest,
    { name: "types", args: ["check", "--no-lock", ...config] },
    {
      name: "publishable",
      args: ["publish", "--dry-run", "--allow-dirty", "--no-check", ...config],
    },
    { name: "docs", args: ["doc", "--lint", ...config, ...entryPoints().filter((path) => !path.startsWith("otel"))] },
    // Types of the OpenTelemetry API are in its options, and are not ours to document.
    { name: "docs of otel", args: ["doc", "--lint", "--no-npm", ...config, "mod.ts", "otel/mod.ts"] },
    { name: "lint", args: ["lint", ...config] },
    { name: "format", args: ["fmt", "--check", ...config] },
  ];
  const start = performance.now();
  const failed: string[] = [];
  await pool(checks, jobs, async ({ name, args }) => {
    const begun = performance.now();
    const result = await run({ command: runtimePath("deno"), args }, { timeoutMs: checkMs, group: true });
    const good = result.code === 0;
    if (!good) failed.push(name);
    const how = good ? "passed" : result.timedOut ? `killed after ${seconds(checkMs)}` : "FAILED";
    console.log(`check: ${name}: ${how} (${seconds(performance.now() - begun)})`);
    if (!good) printBlock(`deno ${args.slice(0, 2).join(" ")} ...`, result.output);
  });
  const examples = parseJunit(await readFile(junit, "utf8").catch(() => ""));
  const named = (outcome: TestCase["outcome"]) =>
    examples.filter((each) => each.outcome === outcome).map((each) => each.name);
  const elapsedMs = performance.now() - start;
  const bad = named("failed");
  const docsPart: Part = {
    name: "docs",
    passed: named("passed").length,
    // It may fail as a whole, when an example does not compile.
    failed: bad.length === 0 && failed.includes(docTest.name) ? [docTest.name] : bad,
    skipped: named("skipped"),
    elapsedMs,
  };
  const others = failed.filter((name) => name !== docTest.name);
  return [
    { name: "checks", passed: checks.length - 1 - others.length, failed: others, skipped: [], elapsedMs },
    docsPart,
  ];
}

function entryPoints(): string[] {
  return packages.flatMap((folder) => {
    const config = JSON.parse(readFileSync(join(root, folder, "deno.json"), "utf8"));
    return Object.values<string>(config.exports).map((path) => join(folder, path));
  }).filter((path) => existsSync(join(root, path)));
}
