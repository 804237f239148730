/**
 * What is measured.
 *
 * @module
 */

import type { Growth } from "./growth.ts";
import type { Runtime } from "./runtimes.ts";
import type { BackendName } from "./subjects/mod.ts";
import type { LoadName } from "./work.ts";

/** One who is measured. */
export interface Contestant {
  readonly subject: string;
  /** For slow ones fewer messages: the count is divided by this. */
  readonly divisor?: number;
  /**
   * Where it runs.
   *
   * @default {all}
   */
  readonly runtimes?: readonly Runtime[];
  /** Whether it is measured with every load, and for latency. */
  readonly everyLoad?: boolean;
  readonly latency?: boolean;
  /** A peer's promise. */
  readonly promise?: string;
}

/** A ladder: who is compared on a backend. */
export interface Ladder {
  readonly backend: BackendName;
  /** The one that the others are compared with. */
  readonly base: string;
  readonly contestants: readonly Contestant[];
  /** How many messages of each load. */
  readonly counts: Readonly<Record<LoadName, number>>;
}

const levels: readonly Contestant[] = [
  { subject: "backend", everyLoad: true },
  { subject: "consume", everyLoad: true },
  { subject: "subscribe 1", everyLoad: true, latency: true },
  { subject: "subscribe 64", everyLoad: true },
];

/** The loads, the usual one first. */
export const loads: readonly LoadName[] = ["200 B", "10 kB", "webhooks"];

/** All ladders. */
export const ladders: readonly Ladder[] = [
  {
    backend: "memory",
    base: "hand-off, JSON",
    contestants: [
      { subject: "array, by reference" },
      { subject: "hand-off, by reference", everyLoad: true },
      { subject: "hand-off, JSON", everyLoad: true, latency: true },
      ...levels,
      { subject: "fastq", promise: "by reference; no ack, no retry, no groups; the push waits for the worker" },
      {
        subject: "Fedify in-process",
        divisor: 4,
        latency: true,
        promise: "by reference; removed before it is handled, so a failed handler loses it; one handler at a time",
      },
    ],
    counts: { "200 B": 100_000, "10 kB": 8_000, webhooks: 8_000 },
  },
  {
    backend: "sqlite",
    base: "batched loop",
    contestants: [
      { subject: "bare batches", everyLoad: true },
      { subject: "batched loop", everyLoad: true },
      ...levels,
      { subject: "subscribe 64, NORMAL" },
      {
        subject: "plainjob",
        divisor: 16,
        runtimes: ["bun"],
        promise: "`synchronous = NORMAL`: a power cut may lose what was added; marked done after the handler; no retry",
      },
      {
        subject: "Fedify SQLite",
        divisor: 40,
        latency: true,
        promise: "synchronous as SQLite's default, FULL; deleted before it is handled: a crash loses it",
      },
    ],
    counts: { "200 B": 51_200, "10 kB": 5_120, webhooks: 5_120 },
  },
  {
    backend: "redis",
    base: "pipelined loop, fenced",
    contestants: [
      { subject: "pipelined loop", everyLoad: true, latency: true },
      { subject: "pipelined loop, fenced", everyLoad: true },
      ...levels,
      {
        subject: "BullMQ",
        divisor: 32,
        latency: true,
        promise: "at least once, by locks that are renewed; retries and delays; one queue, no groups",
      },
      {
        subject: "Fedify Redis",
        divisor: 100,
        promise: "removed before it is handled: a crash loses it; reads the whole backlog for each message",
      },
    ],
    counts: { "200 B": 51_200, "10 kB": 5_120, webhooks: 5_120 },
  },
];

/** What grows, in which steps. */
export interface Growths {
  readonly of: Growth["of"];
  readonly steps: readonly number[];
  readonly unit: string;
}

/** All that grows. */
export const growths: readonly Growths[] = [
  { of: "backlog", steps: [1_000, 10_000, 100_000, 1_000_000], unit: "messages waiting" },
  { of: "groups", steps: [1, 10, 100, 1_000], unit: "groups" },
  { of: "keys", steps: [1, 100, 10_000, 100_000], unit: "keys" },
  { of: "bytes", steps: [100, 1_000, 10_000, 100_000, 1_000_000], unit: "bytes a payload" },
];

/** How many processes consume. */
export const processSteps: readonly number[] = [1, 2, 4, 16, 64];

/** How much of it all is done. */
export interface Effort {
  readonly rounds: number;
  /** What the counts are divided by. */
  readonly divisor: number;
  readonly runtimes: readonly Runtime[];
  /** The largest step of a growth. */
  readonly largest: number;
  /** The most processes. */
  readonly processes: number;
  /** How many messages a latency is taken from. */
  readonly latencies: number;
  /** For how long idleness is watched, in milliseconds. */
  readonly idleMs: number;
}

/** The whole of it: some twenty minutes. */
export const full: Effort = {
  rounds: 5,
  divisor: 1,
  runtimes: ["deno", "bun", "node"],
  largest: 1_000_000,
  processes: 64,
  latencies: 150,
  idleMs: 3_000,
};

/** For development: whether everything runs. Its figures mean little. */
export const quick: Effort = {
  rounds: 1,
  divisor: 25,
  runtimes: ["deno"],
  largest: 10_000,
  processes: 2,
  latencies: 20,
  idleMs: 300,
};
