/**
 * Where names come from; the first match wins: the `plugins` option, the application's map, the package's own, dependencies.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import type { MessageQueueBackendModule } from "../core/backend.ts";
import type { Env } from "../core/env.ts";
import { ConfigError, MessageQueueError } from "../core/errors.ts";
import { builtinBackends } from "./builtin.ts";
import { type Dependencies, findDependencies } from "./dependencies.ts";
import { readText } from "./files.ts";
import { type ImportMap, isSpecifier, parseImportMap, resolveFrom } from "./import_map.ts";
import { isBackendModule } from "./module.ts";
import { nearestName, quoteName } from "./suggest.ts";

/** What the `plugins` option holds under a name: a specifier, something that imports it, or the module itself. */
export type PluginOption = string | (() => Promise<unknown>) | MessageQueueBackendModule;

/** A name, and how to get at what stands behind it. */
export interface Entry {
  /** The name. */
  readonly name: string;
  /** What kind of place names it. */
  readonly from: "option" | "map" | "built-in" | "dependency";
  /** The place, for messages. */
  readonly where: string;
  /** What to import. */
  readonly specifier?: string;
  /** What imports it. */
  readonly load?: () => Promise<unknown>;
  /** The name of the package, of a dependency. */
  readonly packageName?: string;
}

/** The names that an application has. */
export interface Sources {
  /** Names of the `plugins` option, the map and the dependencies, in this order; a name may come twice. */
  readonly configured: readonly Entry[];
  /** Digests that the map gives, by URL. */
  readonly integrity: ReadonlyMap<string, string>;
  /** What was looked at, one part of a sentence each. */
  readonly looked: readonly string[];
}

/** What sources are read from. */
export interface SourceOptions {
  /** The `plugins` option. */
  readonly plugins?: Readonly<Record<string, PluginOption>> | undefined;
  /** Where the variables are read. */
  readonly env: Env;
  /** The application's folder. */
  readonly base: URL;
  /** Fetches a map from a URL. */
  readonly fetchText: (url: string) => Promise<string>;
}

/**
 * Reads every place that names plugins.
 *
 * @param options Where to look.
 * @returns The names.
 * @throws {ConfigError} When a map or a manifest cannot be read.
 */
export async function readSources(options: SourceOptions): Promise<Sources> {
  const given = Object.entries(options.plugins ?? {});
  const looked = [given.length === 0 ? "the plugins option (not given)" : `the plugins option (${names(given)})`];
  const configured = [...optionSources(options.plugins ?? {}, options.base).configured];

  const { map, where } = await readMap(options);
  looked.push(map === undefined ? where : `${where} (${names([...map.imports])})`);
  for (const [name, specifier] of map?.imports ?? []) configured.push({ name, from: "map", where, specifier });

  looked.push(`the built-in backends (${[...builtinBackends.keys()].join(", ")})`);
  const dependencies = await findDependencies(options.base);
  looked.push(describeDependencies(dependencies, options.base));
  for (const { name, specifier, file, packageName } of dependencies.plugins) {
    configured.push({ name, from: "dependency", where: file, specifier, packageName });
  }
  return { configured, integrity: map?.integrity ?? new Map(), looked };
}

/**
 * The names of the `plugins` option alone.
 *
 * @param plugins The option.
 * @param base The application's folder.
 * @returns The names.
 * @throws {ConfigError} When one of them is no plugin.
 */
export function optionSources(plugins: Readonly<Record<string, PluginOption>>, base: URL): Sources {
  const configured = Object.entries(plugins).map(([name, plugin]) => optionEntry(name, plugin, base));
  return { configured, integrity: new Map(), looked: [] };
}

/** The built-in backends as entries. */
export function builtinEntries(): Entry[] {
  return [...builtinBackends].map(([name, load]) => ({
    name,
    from: "built-in",
    where: "built in",
    specifier: `@abe/mq/${name}`,
    load,
  }));
}

/**
 * Looks a name up.
 *
 * @param name The name, or the full name of a package.
 * @param sources Where to look.
 * @param by What asked for it, for messages.
 * @returns The first entry of that name.
 * @throws {MessageQueueError} `plugin_not_found`, with where it looked, the nearest name and how to install one; `plugin_ambiguous`
 *   when two packages share the name.
 */
export function lookUp(name: string, sources: Sources, by: string): Entry {
  const { configured } = sources;
  const chosen = configured.find((entry) => entry.name === name && entry.from !== "dependency");
  if (chosen !== undefined) return chosen;
  const builtins = builtinEntries();
  const builtin = builtins.find((entry) => entry.name === name);
  if (builtin !== undefined) return builtin;
  const packages = configured.filter((entry) => entry.from === "dependency");
  const exact = packages.find((entry) => entry.packageName === name);
  if (exact !== undefined) return exact;
  const [first, second] = packages.filter((entry) => entry.name === name);
  if (first !== undefined && second !== undefined) {
    throw new MessageQueueError(
      "plugin_ambiguous",
      `Cannot choose a backend: ${
        quoteName(name)
      } may be ${first.packageName} or ${second.packageName}; give the package's full name`,
    );
  }
  if (first !== undefined) return first;
  const near = nearestName(name, [...configured, ...builtins].map((entry) => entry.name));
  throw new MessageQueueError(
    "plugin_not_found",
    `Cannot find a backend named ${quoteName(name)} (asked for by ${by})${near ? `; did you mean ${near}?` : "."} ` +
      `Looked in ${sources.looked.join(", ")}. ${installHint(name)}`,
  );
}

/**
 * The commands that add a plugin's package to an application.
 *
 * @param name A plugin's name, or a package's.
 * @returns A sentence.
 */
export function installHint(name: string): string {
  // What is no name of a package must not end up in something that people paste into a shell.
  const safe = /^(?:@[a-z0-9][a-z0-9._-]*\/)?[a-z0-9][a-z0-9._-]*$/.test(name) ? name : "NAME";
  if (safe.includes("/")) return `If it is a package, add it by ${installCommands(safe)}`;
  const packageName = /^abe-mq-/.test(safe) ? safe : `abe-mq-${safe}`;
  return `If it is a package, add it by ${installCommands(packageName)}, ` +
    `or from JSR by \`deno add jsr:@SCOPE/${packageName}\`, \`bunx jsr add @SCOPE/${packageName}\`, ` +
    `\`npx jsr add @SCOPE/${packageName}\``;
}

/**
 * The commands that add a package.
 *
 * @param packageName Its name.
 * @param registry Where it comes from.
 * @returns The commands for deno, bun and npm.
 */
export function installCommands(packageName: string, registry: "npm" | "jsr" = "npm"): string {
  return registry === "jsr"
    ? `\`deno add jsr:${packageName}\`, \`bunx jsr add ${packageName}\` or \`npx jsr add ${packageName}\``
    : `\`deno add npm:${packageName}\`, \`bun add ${packageName}\` or \`npm install ${packageName}\``;
}

function optionEntry(name: string, plugin: PluginOption, base: URL): Entry {
  const where = "the plugins option";
  if (typeof plugin === "string") return { name, from: "option", where, specifier: resolveFrom(plugin, base) };
  if (isBackendModule(plugin)) return { name, from: "option", where, load: () => Promise.resolve({ default: plugin }) };
  if (typeof plugin === "function") return { name, from: "option", where, load: plugin };
  throw new ConfigError([
    `the plugin ${quoteName(name)} must be a specifier, a function that imports it, or an object with \`fromEnv\``,
  ]);
}

async function readMap(options: SourceOptions): Promise<{ map?: ImportMap; where: string }> {
  const wanted = options.env.get("ABE_MQ_PLUGINS");
  if (wanted !== undefined) {
    const where = "the map of ABE_MQ_PLUGINS";
    const isRemote = isSpecifier(wanted) && /^https?:/i.test(wanted);
    const url = isRemote ? new URL(wanted) : new URL(fileUrlOf(wanted, options.base));
    if (isRemote) return { map: remoteMap(await options.fetchText(wanted), url, where), where };
    if (url.protocol !== "file:") throw new ConfigError([`ABE_MQ_PLUGINS must be a path or an \`https:\` URL`]);
    const path = fileURLToPath(url);
    const reading = await readText(url);
    if ("denied" in reading) {
      throw new ConfigError([
        `ABE_MQ_PLUGINS names ${path}, which may not be read: allow it by \`--allow-read=${path}\``,
      ]);
    }
    if ("missing" in reading) throw new ConfigError([`ABE_MQ_PLUGINS names ${path}, which does not exist`]);
    return { map: parseImportMap(reading.text, url, path), where: path };
  }
  const url = new URL("plugins/import_map.json", options.base);
  const own = new URL("./import_map.json", import.meta.url).href;
  if (url.protocol !== "file:" || url.href === own) return { where: "plugins/import_map.json (not there)" };
  const path = fileURLToPath(url);
  const reading = await readText(url);
  if ("text" in reading) return { map: parseImportMap(reading.text, url, path), where: path };
  return { where: `${path} (${"denied" in reading ? `not allowed: \`--allow-read=${path}\`` : "not there"})` };
}

function fileUrlOf(path: string, base: URL): string {
  return /^[a-z][a-z0-9+.-]+:/i.test(path)
    ? path
    : new URL(encodeURI(path).replace(/[?#]/g, encodeURIComponent), base).href;
}

// A map that was fetched must not point at the files of the machine that fetched it.
function remoteMap(text: string, url: URL, where: string): ImportMap {
  const map = parseImportMap(text, url, where);
  for (const [name, specifier] of map.imports) {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(specifier)?.[1]?.toLowerCase();
    if (scheme !== undefined && !["https", "http", "jsr", "npm"].includes(scheme)) {
      throw new MessageQueueError(
        "plugin_refused",
        `Cannot use ${where}: it maps ${quoteName(name)} to something that is not \`https:\`, \`jsr:\` or \`npm:\``,
      );
    }
  }
  return map;
}

function describeDependencies({ plugins, files, denied }: Dependencies, base: URL): string {
  if (denied) return "dependencies (not allowed: `--allow-read`)";
  const listed = plugins.map((plugin) => plugin.packageName).join(", ") || "no package named abe-mq-NAME";
  return files.length === 0
    ? `dependencies (no package.json at or above ${base.protocol === "file:" ? fileURLToPath(base) : base.href})`
    : `the dependencies in ${files.join(" and ")} (${listed})`;
}

function names(entries: readonly (readonly [string, unknown])[]): string {
  return entries.map(([name]) => name).slice(0, 12).join(", ") || "empty";
}
