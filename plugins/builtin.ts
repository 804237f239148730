/**
 * The backends that come with the package.
 *
 * Each is a literal `import()`: a computed path would be left out of the npm tarball and out of bundles. The names are those of
 * `import_map.json` beside this file, which tools may read; a test holds the two together.
 *
 * @module
 */

/** Name to what loads it. */
export const builtinBackends: ReadonlyMap<string, () => Promise<unknown>> = new Map<string, () => Promise<unknown>>([
  ["memory", () => import("../backends/memory.ts")],
  ["sqlite", () => import("../backends/sqlite.ts")],
  ["redis", () => import("../backends/redis.ts")],
]);
