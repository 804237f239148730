/** Kills publishers and consumers at random moments, and counts whether everything that was confirmed is there. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { SqliteBackend } from "../../../backends/sqlite.ts";
import { MessageQueue } from "../../../core/queue.ts";
import { type Child, run, type Runtime, runtimeCommand, spawn } from "../../process.ts";

/** The lease of consumers that are to be killed, in milliseconds: what they held comes again that soon. */
export const killLeaseMs = 1_000;

/** How to kill. */
export interface KillOptions {
  readonly file: string;
  readonly rounds: number;
  /** Of the random moments and victims. */
  readonly seed: number;
  /** The processes run under one of these, by turns. */
  readonly runtimes: readonly Runtime[];
  readonly synchronous: "FULL" | "NORMAL";
}

/** What was counted. */
export interface KillCounts {
  readonly kills: number;
  /** Publishes that resolved. */
  readonly confirmed: number;
  /** Messages of them that no consumer got. */
  readonly lost: number;
  /** Acks that resolved. */
  readonly acked: number;
  /** Messages that came again though their ack had resolved. */
  readonly revived: number;
  /** Messages that came more than once: what a killed consumer held, and what was nacked. */
  readonly again: number;
}

/** A reproducible source of randomness (mulberry32). @returns Numbers from 0 up to 1. */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const script = fileURLToPath(new URL("./kill_worker.ts", import.meta.url));

class Tally {
  readonly confirmed = new Set<number>();
  readonly got = new Map<number, number>();
  readonly acked = new Set<number>();

  read(output: string): void {
    // The last line may have been cut off by the kill.
    for (const line of output.slice(0, output.lastIndexOf("\n") + 1).split("\n")) {
      const n = Number(line.slice(2));
      if (line.startsWith("p ")) this.confirmed.add(n);
      else if (line.startsWith("g ")) this.got.set(n, (this.got.get(n) ?? 0) + 1);
      else if (line.startsWith("a ")) this.acked.add(n);
    }
  }
}

/** Fails unless the file is sound. */
export function checkIntegrity(file: string): void {
  const db = new DatabaseSync(file, { timeout: 10_000 });
  try {
    assert.deepEqual(db.prepare("pragma integrity_check").all().map((row) => ({ ...row })), [{
      integrity_check: "ok",
    }]);
  } finally {
    db.close();
  }
}

/** Kills, and counts. Fails when the file is damaged at any moment. */
export async function runKills({ file, rounds, seed, runtimes, synchronous }: KillOptions): Promise<KillCounts> {
  const random = randomFrom(seed);
  const tally = new Tally();
  const env = { NODE_COMPILE_CACHE: join(dirname(file), "compiled") };
  let started = 0;
  let kills = 0;
  const start = (role: "publisher" | "consumer"): Child => {
    const runtime = runtimes[started % runtimes.length] ?? "node";
    // Each process has numbers of its own.
    const first = ++started * 1_000_000;
    return spawn(runtimeCommand(runtime, script, { args: [role, file, String(first), synchronous], env }));
  };
  const kill = async (child: Child) => {
    child.kill("SIGKILL");
    tally.read((await child.exited).stdout);
    kills++;
  };
  for (const runtime of runtimes) {
    assert.equal((await run(runtimeCommand(runtime, script, { args: ["warm"], env }))).code, 0);
  }
  let publisher = start("publisher");
  let consumer = start("consumer");
  try {
    for (let round = 0; round < rounds; round++) {
      await Promise.all([publisher.line(/^p /), consumer.line(/^g /)]);
      await sleep(random() * 60);
      const victims = Math.floor(random() * 3);
      const dying: Promise<void>[] = [];
      if (victims !== 1) dying.push(kill(publisher));
      if (victims !== 0) dying.push(kill(consumer));
      await Promise.all(dying);
      checkIntegrity(file);
      if (victims !== 1) publisher = start("publisher");
      if (victims !== 0) consumer = start("consumer");
    }
    await Promise.all([publisher.line(/^p /), consumer.line(/^g /)]);
    await Promise.all([kill(publisher), kill(consumer)]);
  } finally {
    publisher.kill();
    consumer.kill();
  }
  const revived = await drain(file, tally);
  checkIntegrity(file);
  const lost = [...tally.confirmed].filter((n) => !tally.got.has(n));
  return {
    kills,
    confirmed: tally.confirmed.size,
    lost: lost.length,
    acked: tally.acked.size,
    revived,
    again: [...tally.got.values()].filter((times) => times > 1).length,
  };
}

// Takes what is left until nothing is stored any more.
async function drain(file: string, tally: Tally): Promise<number> {
  let revived = 0;
  await using mq = new MessageQueue(new SqliteBackend({ path: file }));
  await using subscription = await mq.subscribe<{ n: number }>(({ payload: { n } }) => {
    if (tally.acked.has(n)) revived++;
    tally.got.set(n, (tally.got.get(n) ?? 0) + 1);
  }, { group: "g", concurrency: 64 });
  const deadline = Date.now() + 60_000;
  while ((await mq.stats()).retained > 0) {
    assert.ok(Date.now() < deadline, "messages are left that nobody gets");
    await sleep(200);
  }
  await subscription.drain();
  return revived;
}
