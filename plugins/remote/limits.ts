/**
 * The bounds of loading code from URLs.
 *
 * @module
 */

/** The bounds of loading a graph. */
export interface Limits {
  /**
   * The largest module, in bytes after decompression.
   *
   * @default {8_388_608}
   */
  readonly moduleBytes: number;
  /**
   * All modules together, in bytes.
   *
   * @default {67_108_864}
   */
  readonly graphBytes: number;
  /**
   * How many modules.
   *
   * @default {1_000}
   */
  readonly modules: number;
  /**
   * How many imports from the entry to the furthest module.
   *
   * @default {64}
   */
  readonly depth: number;
  /**
   * How many redirects in a row.
   *
   * @default {5}
   */
  readonly redirects: number;
  /**
   * How long a server may send nothing, in milliseconds.
   *
   * @default {10_000}
   */
  readonly stallMs: number;
  /**
   * How long fetching may take in all, in milliseconds.
   *
   * @default {60_000}
   */
  readonly totalMs: number;
}

/** Far above any plugin that a person wrote, far below what harms the process. */
export const defaultLimits: Limits = {
  moduleBytes: 8_388_608,
  graphBytes: 67_108_864,
  modules: 1_000,
  depth: 64,
  redirects: 5,
  stallMs: 10_000,
  totalMs: 60_000,
};
