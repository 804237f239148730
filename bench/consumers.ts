/**
 * Many processes that consume from one group.
 *
 * @module
 */

import { spawn } from "node:child_process";
import process from "node:process";
import type { DurableBackend } from "../core/backend.ts";
import { MessageQueue } from "../core/queue.ts";
import { batches, type Load } from "./work.ts";

/** What one of the processes saw; times in milliseconds since 1970. */
export interface Share {
  readonly count: number;
  readonly first: number;
  readonly last: number;
}

/** Publishes what they will consume. */
export async function fill(backend: DurableBackend, load: Load, count: number): Promise<number> {
  await using mq = new MessageQueue(backend);
  await mq.groups.create("g");
  for (const { from, size } of batches(count)) {
    await mq.publishMany(Array.from({ length: size }, (_, n) => load(from + n)));
  }
  return count;
}

// Longer than any pause of a process that has still something to get.
const quietMs = 1_000;

/** Is one of them: waits for the word, consumes until nothing comes. */
export async function consumer(backend: DurableBackend): Promise<Share> {
  await using mq = new MessageQueue(backend);
  await mq.ping();
  console.log("READY");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  const quiet = Promise.withResolvers<void>();
  let count = 0;
  let first = 0;
  let last = Date.now();
  await mq.subscribe(() => {
    last = Date.now();
    if (count++ === 0) first = last;
  }, { group: "g", concurrency: 16, prefetch: 64 });
  const watch = setInterval(() => {
    if (Date.now() - last > quietMs) quiet.resolve();
  }, 50);
  await quiet.promise;
  clearInterval(watch);
  return { count, first, last };
}

/**
 * Runs them.
 *
 * @param processes How many.
 * @param command What starts one.
 * @returns What each saw.
 */
export async function runConsumers(processes: number, [program, ...args]: readonly string[]): Promise<Share[]> {
  const children = Array.from({ length: processes }, () => {
    const child = spawn(program ?? "", args, { stdio: ["pipe", "pipe", "inherit"] });
    let text = "";
    const ready = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<Share>();
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      if (text.includes("READY")) ready.resolve();
    });
    child.once("close", () => {
      const [, json] = text.match(/^RESULT (.*)$/m) ?? [];
      if (json === undefined) ended.reject(new Error(`A consumer ended without a result: ${text}`));
      else ended.resolve(JSON.parse(json) as Share);
    });
    ended.promise.catch(ready.reject);
    return { child, ready: ready.promise, ended: ended.promise };
  });
  await Promise.all(children.map(({ ready }) => ready));
  for (const { child } of children) child.stdin.end("go\n");
  return await Promise.all(children.map(({ ended }) => ended));
}
