/**
 * Tables in Markdown, laid out as `deno fmt` lays them out.
 *
 * @module
 */

/**
 * Writes a table.
 *
 * @param header The titles of the columns.
 * @param rows The cells.
 * @returns Lines of Markdown.
 */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const escaped = rows.map((row) => row.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")));
  const widths = header.map((title, i) => Math.max(3, title.length, ...escaped.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...escaped.map(line)].join("\n");
}
