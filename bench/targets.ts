/**
 * What was aimed at, beside what was reached.
 *
 * @module
 */

import type { Results } from "./results.ts";
import type { Row } from "./runner.ts";
import { type Runtime, runtimes } from "./runtimes.ts";
import { median, numbers, ratios } from "./stats.ts";
import type { BackendName } from "./subjects/mod.ts";

interface Target {
  readonly backend: BackendName;
  readonly what: string;
  /** Who is measured, against whom. Several that do the same in this phase give one figure out of the rounds of all. */
  readonly subject: string | readonly string[];
  readonly base: string;
  readonly phase: "publish" | "consume" | "through" | "latency";
  /** The least ratio; for latency the greatest. */
  readonly bound: number;
}

// However messages are taken, they are published by the same code.
const queues = ["consume", "subscribe 1", "subscribe 64"];

const targets: readonly Target[] = [
  memory("consume, end to end", "consume"),
  memory("subscribe 64, end to end", "subscribe 64"),
  against("sqlite", "publish", queues, "batched loop", "publish", 0.8),
  against("sqlite", "consume + ack", "consume", "batched loop", "consume", 0.8),
  against("sqlite", "end to end", "consume", "batched loop", "through", 0.8),
  against("sqlite", "end to end", "subscribe 64", "plainjob", "through", 5),
  against("sqlite", "end to end", "subscribe 64", "Fedify SQLite", "through", 5),
  against("redis", "publish", queues, "pipelined loop, fenced", "publish", 0.9),
  against("redis", "consume + ack", "consume", "pipelined loop, fenced", "consume", 0.9),
  against("redis", "end to end", "consume", "pipelined loop, fenced", "through", 0.9),
  against("redis", "end to end", "subscribe 64", "BullMQ", "through", 10),
  {
    backend: "redis",
    what: "p50 latency",
    subject: "subscribe 1",
    base: "pipelined loop",
    phase: "latency",
    bound: 1.3,
  },
];

function memory(what: string, subject: string): Target {
  return against("memory", what, subject, "hand-off, JSON", "through", 0.8);
}

function against(
  backend: BackendName,
  what: string,
  subject: Target["subject"],
  base: string,
  phase: Target["phase"],
  bound: number,
): Target {
  return { backend, what, subject, base, phase, bound };
}

/**
 * Lines of a table: what was aimed at, and the ratio on each runtime.
 *
 * @param results What was measured.
 * @returns Cells; the first row is the head.
 */
export function targetTable({ rows, growth }: Results): string[][] {
  const lines = targets.flatMap((target) => {
    const cells = runtimes.map((runtime) => {
      const ratio = reached(rows, target, runtime);
      return Number.isFinite(ratio) ? `${ratio.toFixed(2)}${isMet(target, ratio) ? "" : " ✗"}` : "";
    });
    if (cells.every((cell) => cell === "")) return [];
    const sign = target.phase === "latency" ? "≤" : "≥";
    return [[`${target.backend}: ${target.what}, over ${target.base}`, `${sign} ${target.bound}`, ...cells]];
  });
  for (const backend of new Set(growth.map((row) => row.backend))) {
    const steps = growth.filter((row) => row.backend === backend && row.of === "backlog").sort((a, b) => a.to - b.to);
    const [first, last] = [steps.at(0), steps.at(-1)];
    if (first === undefined || last === undefined || first === last) continue;
    const ratio = (last.publishUs + last.consumeUs) / (first.publishUs + first.consumeUs);
    const what = `${backend}: cost with ${last.to.toLocaleString("en")} waiting, over ${first.to.toLocaleString("en")}`;
    lines.push([what, "flat", `${ratio.toFixed(2)}${ratio <= 1.5 ? "" : " ✗"}`, "", ""]);
  }
  return lines.length === 0 ? [] : [["target", "", ...runtimes], ...lines];
}

function isMet({ phase, bound }: Target, ratio: number): boolean {
  // A hundredth is within what the same run gives twice.
  return phase === "latency" ? ratio <= bound + 0.01 : ratio >= bound - 0.01;
}

function reached(rows: readonly Row[], { backend, subject, base, phase }: Target, runtime: Runtime): number {
  const values = (name: string) => {
    const row = rows.find((each) =>
      each.backend === backend && each.load === "200 B" && each.runtime === runtime && each.subject === name
    );
    if (phase === "latency") return row?.latency.map(({ p50 }) => p50) ?? [];
    return numbers(row?.throughput ?? [], (round) => round[phase]?.rate);
  };
  const ofBase = values(base);
  return median([subject].flat().flatMap((name) => ratios(values(name), ofBase)));
}
