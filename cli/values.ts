/**
 * Reading the values of flags and arguments.
 *
 * @module
 */

const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * Reads a duration.
 *
 * @param text Such as `250ms`, `5s`, `2m`, `1h`; a bare number is milliseconds.
 * @returns Milliseconds.
 * @throws {TypeError} When it is none.
 */
export function parseDuration(text: string): number {
  const [, digits, unit = "ms"] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?$/.exec(text.trim()) ?? [];
  const factor = units[unit];
  if (digits === undefined || factor === undefined) {
    throw new TypeError(`${JSON.stringify(text)} is no duration: write 250ms, 5s, 2m or 1h`);
  }
  return Number(digits) * factor;
}

/**
 * Reads a count.
 *
 * @param text A whole number from 1.
 * @returns The number.
 * @throws {TypeError} When it is none.
 */
export function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count) || count < 1) {
    throw new TypeError(`${JSON.stringify(text)} is no count: give a whole number from 1`);
  }
  return count;
}

/**
 * Reads a header.
 *
 * @param text `NAME=VALUE`.
 * @returns Both parts.
 * @throws {TypeError} When it has no name.
 */
export function parseHeader(text: string): readonly [name: string, value: string] {
  const at = text.indexOf("=");
  if (at < 1) throw new TypeError(`${JSON.stringify(text)} is no header: write NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}
