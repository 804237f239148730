/**
 * Starting workers and killing them: in processes of their own where the harness has a module for that, else in this one, cut off from the
 * store.
 *
 * @module
 */

import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { MessageQueue, silentLogger } from "../mod.ts";
import { type ChildJob, childMark, childUrl } from "./child.ts";
import { cuttable } from "./cut.ts";
import type { Harness } from "./harness.ts";
import { type Handed, work, type WorkerTask } from "./worker.ts";

/** A worker that was started. */
export interface Worker {
  /** What it was handed so far. */
  readonly handed: readonly Handed[];
  /** Settles when it has ended: by itself, or killed. Rejects when it ended with an error. */
  readonly ended: Promise<void>;
  /** Kills it: nothing is settled, released or closed. A second call is harmless. */
  kill(): Promise<void>;
}

/**
 * Starts a worker.
 *
 * @param harness The backend's harness.
 * @param exchange The exchange it works on.
 * @param task What it does.
 * @param cleanUp Is given what frees its resources when the case has ended.
 * @returns The worker.
 */
export function startWorker(
  harness: Harness,
  exchange: string,
  task: WorkerTask,
  cleanUp: (free: () => Promise<void>) => void,
): Promise<Worker> {
  return harness.child === undefined
    ? startHere(harness, exchange, task, cleanUp)
    : Promise.resolve(startProcess({ module: harness.child, exchange, task }, harness.childArgs ?? []));
}

async function startHere(
  harness: Harness,
  exchange: string,
  task: WorkerTask,
  cleanUp: (free: () => Promise<void>) => void,
): Promise<Worker> {
  const cut = cuttable(await harness.open(exchange));
  cleanUp(cut.free);
  const queue = new MessageQueue(cut.backend, { logger: silentLogger });
  const handed: Handed[] = [];
  let killed: () => void = () => {};
  const death = new Promise<void>((resolve) => killed = resolve);
  const kill = async () => {
    cut.cut();
    killed();
    await queue.close();
  };
  const die = () => {
    cut.cut();
    killed();
    return new Promise<never>(() => {});
  };
  const working = work(queue, task, (each) => handed.push(each), die);
  const ended = Promise.race([working, death]);
  ended.catch(ignored);
  return { handed, ended, kill };
}

function startProcess(job: ChildJob, flags: readonly string[]): Worker {
  const script = childUrl.startsWith("file:") ? fileURLToPath(childUrl) : childUrl;
  const run = process.versions.deno !== undefined ? ["run", "--allow-all", "--no-check"] : [];
  const child = spawn(process.execPath, [...run, ...flags, script, childMark, JSON.stringify(job)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const handed: Handed[] = [];
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (text + chunk).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) handed.push(JSON.parse(line) as Handed);
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0 || signal !== null) resolve();
      else reject(new Error(`The worker's process ended with code ${code}`));
    });
  });
  // Whoever cares awaits it; a worker that is only killed must not raise an unhandled rejection.
  ended.catch(ignored);
  const kill = async () => {
    child.kill("SIGKILL");
    await ended.catch(ignored);
  };
  return { handed, ended, kill };
}

function ignored(): void {}
