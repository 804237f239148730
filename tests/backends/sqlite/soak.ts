/**
 * Kills publishers and consumers of all three runtimes, a thousand times, and prints the counts. `deno task soak [rounds]`
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { runtimes } from "../../process.ts";
import { runKills } from "./kill.ts";

const rounds = Number(process.argv[2] ?? 1_000);
const folder = mkdtempSync(join(tmpdir(), "abe-mq-soak-"));
const seed = Date.now() % 1_000_000;
const start = performance.now();
try {
  const counts = await runKills({ file: join(folder, "queue.db"), rounds, seed, runtimes, synchronous: "FULL" });
  const seconds = Math.round((performance.now() - start) / 1_000);
  console.log(JSON.stringify({ backend: "sqlite", rounds, seed, seconds, ...counts }));
  process.exitCode = counts.lost === 0 && counts.revived === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
