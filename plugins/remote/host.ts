/**
 * The running instance of this package, for plugins that import it: a plugin and its host share one copy.
 *
 * A module in the cache cannot name our files, which may be in a bundle or an npm package, so it reads what they export from a global
 * symbol.
 *
 * @module
 */

import { MessageQueueError } from "../../core/errors.ts";

/** What the package exports by path, as in `deno.json`; without `./testing`, which no plugin needs to run. */
const parts: ReadonlyMap<string, () => Promise<object>> = new Map<string, () => Promise<object>>([
  [".", () => import("../../mod.ts")],
  ["./asyncapi", () => import("../../core/async_api.ts")],
  ["./asyncapi", () => import("../../core/async_api.ts")],
  ["./memory", () => import("../../backends/memory.ts")],
  ["./plugins", () => import("../manage.ts")],
  ["./redis", () => import("../../backends/redis.ts")],
  ["./sqlite", () => import("../../backends/sqlite.ts")],
]);

const symbolName = `@abe/mq/host ${import.meta.url}`;
const key = Symbol.for(symbolName);
/** The paths that a plugin may import. */
export const hostPaths: readonly string[] = [...parts.keys()];

const loaded = new Map<string, object>();

/**
 * Writes a module that exports what a part of this package exports, by the same objects.
 *
 * @param path `.` or `./` and the name of an export.
 * @returns Its code.
 * @throws {MessageQueueError} `plugin_failed` when the package has no such part.
 */
export async function hostModule(path: string): Promise<string> {
  const load = parts.get(path);
  if (load === undefined) {
    throw new MessageQueueError(
      "plugin_failed",
      `Cannot load a plugin that imports @abe/mq${path.slice(1)}: this version has ${[...parts.keys()].join(", ")}`,
    );
  }
  const namespace = await load();
  loaded.set(path, namespace);
  (globalThis as Record<symbol, unknown>)[key] = loaded;
  const names = Object.keys(namespace).sort();
  const lines = names.map((name, index) =>
    `const e${index} = part[${JSON.stringify(name)}]; export { e${index} as ${name} };`
  );
  return [
    `const part = globalThis[Symbol.for(${JSON.stringify(symbolName)})].get(${JSON.stringify(path)});`,
    ...lines,
    "",
  ].join("\n");
}
