/**
 * The clocks: rate, CPU, memory, latency.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Subject } from "./work.ts";

/** How one phase went. */
export interface Phase {
  /** Messages a second. */
  readonly rate: number;
  /** CPU time of this process for each message, in microseconds. */
  readonly cpuUs: number;
}

/** How a candidate went. */
export interface Throughput {
  readonly publish?: Phase;
  /** Consume and ack, of what was published before. */
  readonly consume?: Phase;
  /** Publish, consume and ack at the same time. */
  readonly through?: Phase;
  /** The most memory the process ever had, in MB. */
  readonly peakMb: number;
}

/** Milliseconds from publish to handler. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** What waiting costs. */
export interface Idle {
  /** CPU time in percent of one core. */
  readonly cpuPercent: number;
  /** How often a thread of the process was woken, a second. */
  readonly wakeUps: number;
  /** How long closing takes: the wait is ended, the group left, the connection closed. In milliseconds. */
  readonly closeMs: number;
}

async function phase(count: number, action: () => Promise<void>): Promise<Phase> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await action();
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { rate: count / seconds, cpuUs: (user + system) / count };
}

/**
 * Measures the phases, each on a candidate of its own making.
 *
 * @param make Makes the candidate.
 * @param count How many messages.
 */
export async function throughput(make: () => Promise<Subject>, count: number): Promise<Throughput> {
  // The compilers have seen all of it before it counts.
  await runThrough(make, Math.ceil(count / 4));
  await runApart(make, Math.ceil(count / 4));
  const apart = await runApart(make, count);
  const through = await runThrough(make, count);
  return { ...apart, ...(through !== undefined && { through }), peakMb: peakMb() };
}

async function runApart(make: () => Promise<Subject>, count: number): Promise<Omit<Throughput, "peakMb">> {
  const subject = await make();
  const publish = subject.publish && await phase(count, () => subject.publish?.(count) ?? Promise.resolve());
  const consume = subject.consume && await phase(count, () => subject.consume?.(count) ?? Promise.resolve());
  await subject.close();
  return { ...(publish && { publish }), ...(consume && { consume }) };
}

async function runThrough(make: () => Promise<Subject>, count: number): Promise<Phase | undefined> {
  const subject = await make();
  const { publish, consume, through } = subject;
  let result: Phase | undefined;
  if (through !== undefined) {
    result = await phase(count, () => through.call(subject, count));
  } else if (publish !== undefined && consume !== undefined) {
    result = await phase(count, async () => {
      await Promise.all([consume.call(subject, count), publish.call(subject, count)]);
    });
  }
  await subject.close();
  return result;
}

function peakMb(): number {
  try {
    const [, kb = "0"] = readFileSync("/proc/self/status", "utf8").match(/^VmHWM:\s*(\d+)/m) ?? [];
    return Number(kb) / 1_024;
  } catch {
    return process.memoryUsage().rss / 2 ** 20; // not Linux: what there is now
  }
}

/** From publish to handler, while little happens: about 200 messages a second, in a process that has run for a while. */
export async function latency(make: () => Promise<Subject>, count: number): Promise<Latency | undefined> {
  const subject = await make();
  if (subject.listen === undefined || subject.send === undefined) return undefined;
  const times: number[] = [];
  // The compilers have seen all of it before it counts.
  const warmUp = 1_000;
  await subject.listen((payload) => {
    if ("sentAt" in payload && typeof payload.sentAt === "number") times.push(performance.now() - payload.sentAt);
  });
  for (let n = 0; n < count + warmUp; n++) {
    if (n >= warmUp - 20) await sleep(2 + n % 6);
    await subject.send({ sentAt: performance.now(), note: "x".repeat(150) });
  }
  for (let i = 0; times.length < count + warmUp && i < 500; i++) await sleep(10);
  await subject.close();
  const sorted = times.slice(warmUp).sort((a, b) => a - b);
  if (sorted.length < count) throw new Error(`Only ${sorted.length} of ${count} messages arrived`);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

/** What an open consumer costs while nothing comes. */
export async function idle(make: () => Promise<Subject>, ms: number): Promise<Idle> {
  const subject = await make();
  await subject.listen?.(() => {});
  await sleep(500);
  const cpu = process.cpuUsage();
  const before = wakeUps();
  await sleep(ms);
  const { user, system } = process.cpuUsage(cpu);
  const after = wakeUps();
  const start = performance.now();
  await subject.close();
  const closeMs = performance.now() - start;
  return { cpuPercent: (user + system) / 10 / ms, wakeUps: (after - before) / ms * 1_000, closeMs };
}

// Voluntary switches: a thread that had gone to sleep ran again.
function wakeUps(): number {
  let sum = 0;
  for (const thread of readdirSync("/proc/self/task")) {
    const [, count = "0"] =
      readFileSync(`/proc/self/task/${thread}/status`, "utf8").match(/^voluntary_ctxt_switches:\s*(\d+)/m) ?? [];
    sum += Number(count);
  }
  return sum;
}
