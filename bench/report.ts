/**
 * `bench/README.md`, out of the raw results.
 *
 * @module
 */

import type { Throughput } from "./measure.ts";
import { growths, ladders, loads } from "./plan.ts";
import type { Results } from "./results.ts";
import type { CostRow, Row } from "./runner.ts";
import { runtimes } from "./runtimes.ts";
import { targetTable } from "./targets.ts";
import { median, numbers, ratios, short, spread } from "./stats.ts";
import type { BackendName } from "./subjects/mod.ts";

const phases = ["publish", "consume", "through"] as const;
const phaseNames = { publish: "publish", consume: "consume + ack", through: "end to end" } as const;

const titles: Readonly<Record<BackendName, string>> = { memory: "Memory", sqlite: "SQLite", redis: "Redis" };

/**
 * Writes the report.
 *
 * @param results What was measured.
 * @param notes What the reader should know beside the figures, in Markdown.
 * @returns Markdown.
 */
export function report(results: Results, notes: string): string {
  const { machine } = results;
  const [targetHead = [], ...targets] = targetTable(results);
  return [
    "# Benchmarks",
    "",
    `Measured by \`${results.command}\` on ${results.date}, at commit \`${results.commit}\`.`,
    "",
    `${machine.cpus} × ${machine.cpu}, ${machine.memoryGb} GB; ${
      machine.versions.join(", ")
    }. Client and server share the machine.`,
    `Each figure is the median of ${results.rounds} rounds; in each round every candidate takes its turn in a process of its own. In`,
    "brackets: the ratio to the row in bold in the same round, its median, and ± half the distance between the lowest and the highest rate; for",
    "CPU time, which other programs on the machine disturb least, the inverse ratio, so that more is better everywhere. Trust ratios, not",
    "rates.",
    "",
    "## Targets",
    "",
    "Ratios; ✗ where a target is missed.",
    ...table(targetHead, targets),
    "",
    notes.trim(),
    ...ladders.filter(({ backend }) => results.rows.some((row) => row.backend === backend)).flatMap((ladder) => [
      "",
      `## ${titles[ladder.backend]}`,
      ...runtimes.flatMap((runtime) => throughputTable(results.rows, ladder.backend, ladder.base, runtime)),
      ...loadTable(results.rows, ladder.backend, ladder.base),
      "",
      ...ladder.contestants.filter(({ promise }) => promise !== undefined).map(({ subject, promise }) =>
        `- **${subject}**: ${promise}.`
      ),
    ]),
    ...growthSection(results),
    ...costSection(results),
    "",
  ].join("\n");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return ["", line(head), line(head.map((_, i) => i === 0 ? "---" : "---:")), ...rows.map(line)];
}

const rates = (row: Row | undefined, phase: (typeof phases)[number]) =>
  numbers(row?.throughput ?? [], (round) => round[phase]?.rate);

function cell(row: Row, base: Row | undefined, phase: (typeof phases)[number]): string {
  const values = rates(row, phase);
  if (values.length === 0) return "";
  const ratio = median(ratios(values, rates(base, phase)));
  const around = values.length > 1 ? ` ±${Math.round(spread(values) * 100)} %` : "";
  return `${short(median(values))} (${ratio.toFixed(2)}${around})`;
}

function throughputTable(rows: readonly Row[], backend: BackendName, base: string, runtime: string): string[] {
  const mine = rows.filter((row) =>
    row.backend === backend && row.load === "200 B" && (row.runtime === runtime || row.runtime === "none")
  );
  if (!mine.some((row) => row.runtime === runtime)) return [];
  const baseRow = mine.find((row) => row.subject === base);
  const of = (row: Row, value: (round: Throughput) => number | undefined) => {
    const found = numbers(row.throughput, value);
    return found.length === 0 ? "" : short(median(found));
  };
  const cpu = (row: Row, base: Row | undefined) => {
    const mine = numbers(row.throughput, (round) => round.through?.cpuUs);
    const theirs = numbers(base?.throughput ?? [], (round) => round.through?.cpuUs);
    return mine.length === 0 ? "" : `${short(median(mine))} (${median(ratios(theirs, mine)).toFixed(2)})`;
  };
  const latency = (row: Row, which: "p50" | "p99") =>
    row.latency.length === 0 ? "" : median(row.latency.map((each) => each[which])).toFixed(2);
  return [
    "",
    `### ${titles[backend]} on ${runtime === "none" ? "" : runtime[0]?.toUpperCase()}${runtime.slice(1)}, 200 bytes`,
    ...table(
      [
        "messages a second",
        ...phases.map((phase) => phaseNames[phase]),
        "CPU µs end to end",
        "peak MB",
        "p50 ms",
        "p99 ms",
      ],
      mine.map((row) => [
        row === baseRow ? `**${row.subject}**` : row.subject,
        ...phases.map((phase) => cell(row, baseRow, phase)),
        cpu(row, baseRow),
        of(row, (round) => round.peakMb),
        latency(row, "p50"),
        latency(row, "p99"),
      ]),
    ),
  ];
}

function loadTable(rows: readonly Row[], backend: BackendName, base: string): string[] {
  const mine = rows.filter((row) => row.backend === backend && row.load !== "200 B");
  const lines = loads.flatMap((load) =>
    runtimes.flatMap((runtime) => {
      const here = mine.filter((row) => row.load === load && row.runtime === runtime);
      const baseRow = here.find((row) => row.subject === base);
      return here.map((row) => [
        `${load}, ${runtime}`,
        row === baseRow ? `**${row.subject}**` : row.subject,
        ...phases.map((phase) => cell(row, baseRow, phase)),
      ]);
    })
  );
  if (lines.length === 0) return [];
  const head = ["payload", "messages a second", ...phases.map((phase) => phaseNames[phase])];
  return ["", `### ${titles[backend]}, larger payloads`, ...table(head, lines)];
}

function growthSection({ growth, processes }: Results): string[] {
  if (growth.length === 0) return [];
  const backends = [...new Set(growth.map((row) => row.backend))];
  const lines = [
    "",
    "## Growth",
    "",
    "Microseconds a message, publish / claim and ack, through the backend alone in batches of 256, on Deno.",
  ];
  for (const { of, steps, unit } of growths) {
    const mine = growth.filter((row) => row.of === of);
    lines.push("", `![${of}](plots/${of}.svg)`);
    lines.push(...table(
      [unit, ...backends.map((backend) => titles[backend])],
      steps.filter((to) => mine.some((row) => row.to === to)).map((to) => [
        to.toLocaleString("en"),
        ...backends.map((backend) => {
          const row = mine.find((each) => each.backend === backend && each.to === to);
          return row === undefined ? "" : `${short(row.publishUs)} / ${short(row.consumeUs)}`;
        }),
      ]),
    ));
  }
  const steps = [...new Set(processes.map((row) => row.processes))];
  const across = [...new Set(processes.map((row) => row.backend))];
  lines.push("", "Messages a second through consumers in so many processes of one group:", "");
  lines.push("![processes](plots/processes.svg)");
  lines.push(...table(
    ["processes", ...across.map((backend) => titles[backend])],
    steps.map((step) => [
      String(step),
      ...across.map((backend) => {
        const row = processes.find((each) => each.backend === backend && each.processes === step);
        if (row === undefined) return "";
        return short(row.rate) + (row.extra === 0 ? "" : ` (${row.extra} twice)`);
      }),
    ]),
  ));
  return lines;
}

function costSection({ startup, idle }: Results): string[] {
  const middle = <T>(row: CostRow<T>, of: (round: T) => number | undefined, digits = 1) => {
    const values = numbers(row.rounds, of);
    return values.length === 0 ? "" : median(values).toFixed(digits);
  };
  return [
    "",
    "## Starting and waiting",
    "",
    'In a process that has just started: `import "@abe/mq"`; then `openQueue()` and the first publish. What is read from files is what',
    "the runtime reads, its own caches of compiled sources included.",
    ...table(
      ["", "import ms", "import kB", "openQueue() + publish ms", "kB"],
      startup.map((row) => [
        `${row.runtime}, ${row.backend === "none" ? "import alone" : row.backend}`,
        middle(row, (round) => round.importMs),
        middle(row, (round) => round.importKb, 0),
        middle(row, (round) => round.openMs),
        middle(row, (round) => round.openKb, 0),
      ]),
    ),
    "",
    "A subscription to which nothing comes:",
    ...table(
      ["", "CPU %", "wake-ups a second", "ms to close the queue"],
      idle.map((row) => [
        `${row.runtime}, ${row.backend}`,
        middle(row, (round) => round.cpuPercent, 2),
        middle(row, (round) => round.wakeUps),
        middle(row, (round) => round.closeMs),
      ]),
    ),
  ];
}
