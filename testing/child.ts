/**
 * The program that a worker's process runs: opens the backend by its module's URL, does the task, and writes what it was handed to
 * standard output, a JSON text a line.
 *
 * @module
 */

import process from "node:process";
import { MessageQueue, type MessageQueueBackend, silentLogger } from "../mod.ts";
import { type Handed, work, type WorkerTask } from "./worker.ts";

/** Where this program is, whatever form the package is installed in. */
export const childUrl: string = import.meta.url;

/** The first argument, by which this module knows that it is the program and not just imported. */
export const childMark = "abe-mq-conformance-worker";

/** The second argument, as JSON. */
export interface ChildJob {
  /** URL of the module that exports `open`. */
  readonly module: string;
  /** The exchange. */
  readonly exchange: string;
  /** What to do. */
  readonly task: WorkerTask;
}

async function main(job: ChildJob): Promise<void> {
  // A worker outlives nobody: with the test's end of the pipe gone, it goes too. One that should end by itself must not be kept by this.
  if (job.task.verb !== "visit") process.stdin.on("end", () => process.exit(1)).resume();
  const { open } = await import(job.module) as { open(exchange: string): Promise<MessageQueueBackend> };
  const queue = new MessageQueue(await open(job.exchange), { logger: silentLogger });
  const report = (handed: Handed) => void process.stdout.write(`${JSON.stringify(handed)}\n`);
  const die = () => {
    process.kill(process.pid, "SIGKILL");
    return new Promise<never>(() => {});
  };
  await work(queue, job.task, report, die);
}

if (process.argv[2] === childMark) await main(JSON.parse(process.argv[3] ?? "") as ChildJob);
