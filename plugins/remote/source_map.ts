/**
 * A source map that says: every line is where it was, under another name.
 *
 * The format is ECMA-426 (https://tc39.es/ecma426/).
 *
 * @module
 */

/** A source map, version 3. */
export interface SourceMap {
  /** Always 3. */
  readonly version: 3;
  /** The one source. */
  readonly sources: readonly [string];
  /** Not used. */
  readonly names: readonly [];
  /** The segments. */
  readonly mappings: string;
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Above this many characters only lines are mapped, as columns would double the file for little. */
const columnsUpTo = 262_144;

/**
 * Maps a text onto itself.
 *
 * @param name The name of the source.
 * @param code The text.
 * @returns The map.
 */
export function lineMap(name: string, code: string): SourceMap {
  const withColumns = code.length <= columnsUpTo;
  let lastLine = 0;
  let lastColumn = 0;
  const lines = code.split("\n").map((line, number) => {
    const columns = withColumns ? [...line.matchAll(/[\w$]+|[^\s\w$]/g)].map((match) => match.index) : [0];
    let before = 0;
    return columns.map((column) => {
      // Column here (anew on each line), source, line there, column there; each relative to the segment before.
      const segment = vlq(column - before) + vlq(0) + vlq(number - lastLine) + vlq(column - lastColumn);
      lastLine = number;
      before = lastColumn = column;
      return segment;
    }).join(",");
  });
  return { version: 3, sources: [name], names: [], mappings: lines.join(";") };
}

function vlq(value: number): string {
  let rest = value < 0 ? (-value << 1) | 1 : value << 1;
  let text = "";
  do {
    const digit = rest & 31;
    rest >>>= 5;
    text += digits[rest > 0 ? digit | 32 : digit];
  } while (rest > 0);
  return text;
}
