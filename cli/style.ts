/**
 * Text for terminals: colours, tables, numbers.
 *
 * @module
 */

/** Colours text, or leaves it as it is. */
export interface Style {
  /** Strong. */
  bold(text: string): string;
  /** Weak. */
  dim(text: string): string;
  /** What failed. */
  red(text: string): string;
  /** What is well. */
  green(text: string): string;
  /** What should be mended. */
  yellow(text: string): string;
}

/**
 * The style for a stream.
 *
 * @param colours Whether to use colours.
 * @returns The style.
 */
export function styleOf(colours: boolean): Style {
  const wrap = (code: number) => (text: string) => colours && text !== "" ? `\x1b[${code}m${text}\x1b[0m` : text;
  return { bold: wrap(1), dim: wrap(2), red: wrap(31), green: wrap(32), yellow: wrap(33) };
}

/** A cell of a table: text, and how it is coloured. */
export type Cell = string | number | { readonly text: string; readonly style: (text: string) => string };

/**
 * Lays out a table, its columns two spaces apart.
 *
 * @param header The titles of the columns.
 * @param rows The cells; numbers go to the right.
 * @param style How the header is coloured.
 * @returns Lines of text.
 */
export function table(header: readonly string[], rows: readonly (readonly Cell[])[], style: Style): string {
  const text = (cell: Cell) =>
    typeof cell === "object" ? cell.text : typeof cell === "number" ? formatNumber(cell) : cell;
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => text(row[i] ?? "").length)));
  const isNumber = header.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === "number"));
  const pad = (value: string, i: number) =>
    isNumber[i] ? value.padStart(widths[i] ?? 0) : i === header.length - 1 ? value : value.padEnd(widths[i] ?? 0);
  const line = (row: readonly Cell[]) =>
    row.map((cell, i) => {
      const padded = pad(text(cell), i);
      return typeof cell === "object" ? cell.style(padded) : padded;
    }).join("  ").trimEnd();
  return [style.dim(header.map(pad).join("  ").trimEnd()), ...rows.map(line)].join("\n");
}

/**
 * A number with thousands apart.
 *
 * @param value The number.
 * @returns Such as `12,345`.
 */
export function formatNumber(value: number): string {
  return Math.round(value).toString().replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/**
 * A duration in the unit that suits it.
 *
 * @param ms Milliseconds.
 * @returns Such as `250 ms`, `4.2 s`, `3 min`, `5 h`, `2 d`.
 */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1_000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return ms < 172_800_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} d`;
}

/**
 * A number and its noun.
 *
 * @param count How many.
 * @param noun What, in the singular.
 * @returns Such as `1 message`, `2 messages`.
 */
export function plural(count: number, noun: string): string {
  return `${formatNumber(count)} ${noun}${count === 1 ? "" : "s"}`;
}
