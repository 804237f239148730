/**
 * One measurement: a process of its own, so that no candidate runs in what another left of the heap, the compiler and the event loop.
 *
 * It is given a task as JSON, and writes the result as JSON.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type BackendName, candidate, opener } from "./subjects/mod.ts";
import { grow, type Growth } from "./growth.ts";
import { consumer, fill } from "./consumers.ts";
import { idle, latency, throughput } from "./measure.ts";
import { type LoadName, makeLoad, type Setting } from "./work.ts";

/** What a process is told to do. */
export interface Task {
  readonly what: "throughput" | "latency" | "idle" | "growth" | "fill" | "consumer";
  readonly backend: BackendName;
  /** Who is measured. */
  readonly subject: string;
  readonly load: LoadName;
  /** How many messages. */
  readonly count: number;
  /** The Redis server. */
  readonly url: string;
  /** The namespace, where several processes share one. */
  readonly name?: string;
  /** The folder, where several processes share one. */
  readonly folder?: string;
  /** What grows, and how far. */
  readonly growth?: Growth;
}

let names = 0;

async function perform(task: Task, folder: string): Promise<unknown> {
  const { backend, subject, count, url } = task;
  const load = await makeLoad(task.load);
  const setting = (): Setting => {
    const name = task.name ?? `bench-${process.pid}-${Date.now()}-${names++}`;
    return { url, load, name, folder: task.folder ?? mkdtempSync(join(folder, "queue-")) };
  };
  switch (task.what) {
    case "throughput":
      return await throughput(async () => (await candidate(backend, subject))(setting()), count);
    case "latency":
      return await latency(async () => (await candidate(backend, subject))(setting()), count);
    case "idle":
      return await idle(async () => (await candidate(backend, subject))(setting()), count);
    case "growth": {
      if (task.growth === undefined) throw new Error("What grows?");
      return await grow(await opener(backend), setting(), task.growth, count);
    }
    case "fill":
      return await fill((await opener(backend))(setting()), load, count);
    case "consumer":
      return await consumer((await opener(backend))(setting()));
  }
}

const task = JSON.parse(process.argv.at(-1) ?? "") as Task;
const folder = mkdtempSync(join(tmpdir(), "abe-mq-bench-"));
try {
  console.log(`RESULT ${JSON.stringify(await perform(task, folder))}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
// Some peers leave timers and connections behind.
process.exit(0);
