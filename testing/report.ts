/**
 * The kit's table.
 *
 * @module
 */

import { type CaseResult, type How, promises, type Report } from "./harness.ts";

/**
 * Writes a report as text: a line for each promise, then what failed, was skipped, or does not apply.
 *
 * @param report What became of the cases.
 * @returns Lines of text.
 */
export function formatReport(report: Report): string {
  const rows = [["", "promise", "cases", "result", "how"]];
  for (const [number, title] of promises.entries()) {
    const results = report.results.filter((each) => each.promise === number);
    const run = results.filter((each) => each.outcome === "passed" || each.outcome === "failed");
    if (results.length === 0) continue;
    rows.push([number === 0 ? "" : `${number}`, title, `${run.length}`, outcome(results), ways(run)]);
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd());
  return [`Conformance of ${report.name}`, ...lines, ...details(report.results)].join("\n");
}

function outcome(results: readonly CaseResult[]): string {
  const failed = results.filter((each) => each.outcome === "failed").length;
  const skipped = results.filter((each) => each.outcome === "skipped").length;
  const passed = results.some((each) => each.outcome === "passed");
  const parts: string[] = [];
  if (failed > 0) parts.push(`${failed} FAILED`);
  else if (passed) parts.push("passed");
  if (skipped > 0) parts.push(`${skipped} SKIPPED`);
  return parts.join(", ") || "not applicable";
}

function ways(results: readonly CaseResult[]): string {
  const counts = new Map<How, number>();
  for (const { how } of results) counts.set(how, (counts.get(how) ?? 0) + 1);
  if (counts.size === 1) return [...counts.keys()].join();
  return [...counts].map(([how, count]) => `${count} ${how}`).join(", ");
}

function details(results: readonly CaseResult[]): string[] {
  const lines: string[] = [];
  for (const { name, promise, outcome, error, reason } of results) {
    if (outcome === "failed") lines.push(`FAILED ${promise}: ${name}: ${text(error)}`);
    if (outcome === "skipped") lines.push(`SKIPPED ${promise}: ${name}: ${reason}`);
  }
  const reasons = new Map<string, string[]>();
  for (const { name, outcome, reason = "" } of results) {
    if (outcome === "not applicable") reasons.set(reason, [...reasons.get(reason) ?? [], name]);
  }
  // Where a whole lot does not apply, as for want of a capability, the names would bury the rest of the report.
  for (const [reason, names] of reasons) {
    lines.push(`not applicable, ${reason}: ${names.length > 3 ? `${names.length} cases` : names.join("; ")}`);
  }
  return lines;
}

function text(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
