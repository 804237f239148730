/**
 * How long it takes until a queue can be used, and how much is read for it: a process that does nothing else.
 *
 * `startup.ts`, with the variables of a backend; without, it only imports.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import process from "node:process";

/** What a start costs. */
export interface Startup {
  /** `import "@abe/mq"`, in milliseconds. */
  readonly importMs: number;
  /** What was read from files meanwhile, in kB: sources and the runtime's caches of them. */
  readonly importKb: number;
  /** `openQueue()` and the first publish, in milliseconds. */
  readonly openMs?: number;
  /** What was read for that, in kB. */
  readonly openKb?: number;
}

// Linux counts what a process reads.
function readKb(): number {
  const [, bytes = "0"] = readFileSync("/proc/self/io", "utf8").match(/^rchar: (\d+)/m) ?? [];
  return Number(bytes) / 1_000;
}

const start = performance.now();
const startKb = readKb();
const { openQueue } = await import("../mod.ts");
const imported = performance.now();
const importedKb = readKb();
let result: Startup = { importMs: imported - start, importKb: importedKb - startKb };
if (process.env["MESSAGE_QUEUE_BACKEND"] !== undefined) {
  const begun = performance.now();
  const mq = await openQueue();
  await mq.publish("order.created", { id: 1 });
  result = { ...result, openMs: performance.now() - begun, openKb: readKb() - importedKb };
  await mq.close();
}
console.log(`RESULT ${JSON.stringify(result)}`);
process.exit(0);
