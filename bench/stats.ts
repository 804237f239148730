/**
 * Medians, and how far apart values are.
 *
 * @module
 */

/** The middle value; `NaN` when there is none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[half - 1] ?? NaN)) / 2;
}

/**
 * The ratios of two rows of rounds, each to the one of the same round, as what disturbed one disturbed the other. Where one has fewer rounds:
 * the ratio of the medians.
 */
export function ratios(values: readonly number[], base: readonly number[]): number[] {
  if (values.length !== base.length) return [median(values) / median(base)];
  return values.map((value, round) => value / (base[round] ?? NaN));
}

/** Half the distance between the lowest and the highest value, as a share of the median. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / 2 / median(values);
}

/** Numbers that are there. */
export function numbers<T>(values: readonly T[], of: (value: T) => number | undefined): number[] {
  return values.map(of).filter((value) => value !== undefined && Number.isFinite(value)) as number[];
}

/** With three digits, and `k` or `M`. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "";
  if (value >= 999_500) return `${(value / 1e6).toPrecision(3)}M`;
  if (value >= 1_000) return value >= 99_950 ? `${Math.round(value / 1_000)}k` : `${(value / 1_000).toPrecision(3)}k`;
  return value >= 100 ? String(Math.round(value)) : value.toPrecision(value < 10 ? 2 : 3);
}
