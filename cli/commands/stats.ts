/**
 * `mq stats`.
 *
 * @module
 */

import type { MessageQueue, QueueStats } from "@abe/mq";
import { buildCommand, type Command } from "@stricli/core";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type Cli, type CommonFlags, commonFlags, openCliQueue } from "../context.ts";
import { interruption } from "../signals.ts";
import { type Cell, formatDuration, formatNumber, table } from "../style.ts";
import { parseDuration } from "../values.ts";

interface StatsFlags extends CommonFlags {
  readonly watch: boolean;
  readonly interval: number;
}

async function runStats(this: Cli, flags: StatsFlags): Promise<void> {
  await using queue = await openCliQueue(this, flags);
  if (flags.watch) return await watch(this, queue, flags);
  const stats = await queue.stats();
  if (flags.json) this.printJson(stats);
  else this.print(describe(this, stats));
}

function describe({ style }: Cli, { retained, groups }: QueueStats): string {
  const names = Object.keys(groups).sort();
  const isApproximate = names.some((name) => groups[name]?.approximate);
  const rows = names.map((name): Cell[] => {
    const group = groups[name];
    if (group === undefined) return [name];
    const { ready, delayed, inFlight, dead, consumers, oldestAgeMs } = group;
    return [name, ready, delayed, inFlight, dead, consumers, oldestAgeMs > 0 ? formatDuration(oldestAgeMs) : "-"];
  });
  const header = ["group", "ready", "delayed", "in flight", "dead", "consumers", "oldest"];
  return [
    `${style.bold(formatNumber(retained))} retained${isApproximate ? style.dim(" (some counts are estimates)") : ""}`,
    ...(rows.length > 0 ? [table(header, rows, style)] : ["There is no group yet"]),
  ].join("\n");
}

// On a terminal the table is drawn over the last one; else each look is printed below the other.
async function watch(cli: Cli, queue: MessageQueue, flags: StatsFlags): Promise<void> {
  using interrupted = interruption();
  const { signal } = interrupted;
  const isTerminal = process.stdout.isTTY === true && !flags.json;
  let height = 0;
  while (!signal.aborted) {
    const stats = await queue.stats();
    if (flags.json) cli.printJson({ at: new Date(), ...stats });
    else {
      const text = [cli.style.dim(new Date().toLocaleTimeString("en-GB")), describe(cli, stats)].join("\n");
      const up = isTerminal && height > 0 ? `\x1b[${height}A\x1b[J` : "";
      cli.print(up + text);
      height = text.split("\n").length;
    }
    // An interruption ends the wait, and the loop with it.
    await sleep(flags.interval, undefined, { signal }).catch(() => undefined);
  }
}

/** `mq stats`. */
export const stats: Command<Cli> = buildCommand<StatsFlags, [], Cli>({
  func: runStats,
  parameters: {
    flags: {
      watch: { kind: "boolean", default: false, brief: "Look again and again, until interrupted" },
      interval: {
        kind: "parsed",
        parse: parseDuration,
        default: "1s",
        placeholder: "duration",
        brief: "How often to look with --watch",
      },
      ...commonFlags,
    },
    aliases: { w: "watch", b: "backend" },
  },
  docs: { brief: "Count what is where, by group" },
});
