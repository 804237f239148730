/**
 * The runtime and its permissions.
 *
 * @module
 */

import { leastVersions, runtime, runtimeVersion } from "@abe/mq";
import { Notes, type Section } from "./finding.ts";

const names = { deno: "Deno", bun: "Bun", node: "Node" } as const;

const upgrades = {
  deno: "deno upgrade",
  bun: "bun upgrade",
  node: "install Node 24 or newer, as by `nvm install 24`",
} as const;

interface DenoPermissions {
  readonly permissions: { querySync(descriptor: { readonly name: string }): { readonly state: string } };
}

/** What each permission is needed for. */
const permissions: Readonly<Record<string, string>> = {
  env: "reading the variables that choose and configure a backend",
  read: "plugins/import_map.json, package.json, deno.json, SQLite files",
  write: "SQLite files, the cache of code from URLs",
  net: "brokers, and fetching code that is checked by digest",
  import: "plugins from URLs that Deno loads by itself",
};

/**
 * Looks at the runtime.
 *
 * @returns What was found.
 */
export function examineRuntime(): Section {
  const notes = new Notes("runtime");
  const least = leastVersions[runtime];
  const found = `${names[runtime]} ${runtimeVersion}`;
  if (isOlder(runtimeVersion, least)) {
    notes.problem(`${found} is too old: ${names[runtime]} ${least} is the least that is supported`, upgrades[runtime]);
  } else notes.ok(`${found} (at least ${least})`);
  const deno = (globalThis as { readonly Deno?: DenoPermissions }).Deno;
  if (deno === undefined) {
    notes.fact("A plugin runs with all the rights of the process; pin what comes from URLs");
    return notes;
  }
  const missing = Object.keys(permissions).filter((name) => deno.permissions.querySync({ name }).state !== "granted");
  if (missing.length === 0) notes.ok("All permissions that a backend may need are granted");
  for (const name of missing) {
    notes.warning(
      `Not all of the permission ${name} is granted: ${permissions[name]}`,
      `--allow-${name}, whole or by name`,
    );
  }
  return notes;
}

/**
 * Whether one version is older than another.
 *
 * @param version Such as `2.9.6`.
 * @param least Such as `2.9.0`.
 * @returns Whether it is.
 */
export function isOlder(version: string, least: string): boolean {
  const numbers = (text: string) => text.split(/[.+-]/).slice(0, 3).map(Number);
  const [own, wanted] = [numbers(version), numbers(least)];
  for (const [i, number] of wanted.entries()) {
    if ((own[i] ?? 0) !== number) return (own[i] ?? 0) < number;
  }
  return false;
}
