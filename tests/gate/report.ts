/**
 * What the gate prints: a line for each step, what failed in full, a table, and the closing line.
 *
 * @module
 */

/** How a part of the gate went. */
export interface Part {
  /** Its name: `checks`, `examples in docs`, a runtime. */
  readonly name: string;
  /** How many passed. */
  readonly passed: number;
  /** Names of what failed. */
  readonly failed: readonly string[];
  /** Names of what was skipped, with the reason where one is known. */
  readonly skipped: readonly string[];
  /** Names of what failed first, and passed when its file was run once more by itself. */
  readonly retried?: readonly string[];
  /** How long it took, in milliseconds. */
  readonly elapsedMs: number;
}

/**
 * Milliseconds as seconds.
 *
 * @param ms Milliseconds.
 * @returns Such as `12.3 s`.
 */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/**
 * A headline and what stands under it, set apart so that it is found in a long log.
 *
 * @param title What it is about.
 * @param text All of it.
 */
export function printBlock(title: string, text: string): void {
  console.log(`----- ${title} -----\n${text.trimEnd()}\n----- end of ${title} -----`);
}

/**
 * Prints the failures, the skipped ones, the table and the closing line.
 *
 * @param parts In the order in which they ran.
 * @returns Whether nothing failed and something passed.
 */
export function printReport(parts: readonly Part[]): boolean {
  for (const { name, failed } of parts) for (const each of failed) console.log(`failed on ${name}: ${each}`);
  for (const { name, skipped } of parts) for (const each of skipped) console.log(`skipped on ${name}: ${each}`);
  for (const { name, retried = [] } of parts) {
    for (const each of retried) console.log(`passed on ${name} only in a second try, by itself: ${each}`);
  }
  const sum = (count: (part: Part) => number) => parts.reduce((total, part) => total + count(part), 0);
  const passed = sum((part) => part.passed);
  const failed = sum((part) => part.failed.length);
  const skipped = sum((part) => part.skipped.length);
  const rows = [
    ["", "passed", "failed", "skipped", "time"],
    ...parts.map((part) => [
      part.name,
      String(part.passed),
      String(part.failed.length),
      String(part.skipped.length),
      seconds(part.elapsedMs),
    ]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0);
  console.log(`\n${rows.map((row) => row.map(pad).join("  ")).join("\n")}\n`);
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  return failed === 0 && passed > 0;
}
