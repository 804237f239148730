/**
 * What a command line does with plugins: list, pin, lock and verify them.
 *
 * @module
 */

import { ConfigError, describeError, MessageQueueError } from "../core/errors.ts";
import { loadEntry, loadUrl } from "./find.ts";
import { type Discovery, discovery, type DiscoveryOptions, settingsOf, sourceOptions } from "./discovery.ts";
import { builtinEntries, type Entry as Source, readSources, type Sources } from "./sources.ts";

/** A plugin as it is listed. */
export interface PluginInfo {
  /** Its name; `ABE_MQ_PLUGIN_URL` for what that variable names. */
  readonly name: string;
  /** What kind of place names it. */
  readonly from: "variable" | "option" | "map" | "dependency" | "built-in";
  /** The place. */
  readonly where: string;
  /** What is imported, if it is known as a specifier. */
  readonly specifier?: string;
  /** Whether an earlier place has the same name, so that this one is never used. */
  readonly shadowed: boolean;
  /** Why it cannot be loaded; absent when it can, or when nobody tried. */
  readonly error?: string;
}

/** Options of {@linkcode listPlugins}. */
export interface ListPluginsOptions extends DiscoveryOptions {
  /**
   * Whether to load each one, to see whether it can be: this runs its code.
   *
   * @default {false}
   */
  readonly load?: boolean;
}

/**
 * Lists every backend that an application could name, in the order in which names are looked up.
 *
 * @param options Where to look.
 * @returns The plugins.
 * @throws {ConfigError} When a map or a manifest cannot be read.
 *
 * @example
 * ```ts
 * import { envFrom } from "@abe/mq";
 * import { listPlugins } from "@abe/mq/plugins";
 *
 * const plugins = await listPlugins({ env: envFrom({}) });
 * console.assert(plugins.some((plugin) => plugin.name === "memory" && plugin.from === "built-in"));
 * ```
 */
export async function listPlugins(options: ListPluginsOptions = {}): Promise<PluginInfo[]> {
  const found = discovery(options);
  const sources = await readSources(sourceOptions(found));
  const list: PluginInfo[] = [];
  const url = found.env.get("ABE_MQ_PLUGIN_URL");
  if (url !== undefined) {
    const where = "ABE_MQ_PLUGIN_URL";
    const error = options.load ? await failure(() => loadUrl(url, found)) : undefined;
    list.push({ name: where, from: "variable", where, specifier: url, shadowed: false, ...(error && { error }) });
  }
  const seen = new Set<string>();
  for (const entry of inOrder(sources)) {
    const { name, from, where, specifier } = entry;
    const error = options.load ? await failure(() => loadEntry(entry, sources, found)) : undefined;
    list.push({
      name,
      from,
      where,
      ...(specifier && { specifier }),
      shadowed: seen.has(name),
      ...(error && { error }),
    });
    seen.add(name);
  }
  return list;
}

function inOrder({ configured }: Sources): Source[] {
  const dependencies = configured.filter((entry) => entry.from === "dependency");
  return [...configured.filter((entry) => entry.from !== "dependency"), ...builtinEntries(), ...dependencies];
}

async function failure(load: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await load();
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

/** Options of {@linkcode lockPlugins}. */
export interface LockPluginsOptions extends DiscoveryOptions {
  /**
   * What to lock: URLs and `jsr:` specifiers.
   *
   * @default {the `backend` option, ABE_MQ_PLUGIN_URL, and every remote specifier of the option, the map and the dependencies}
   */
  readonly specifiers?: readonly string[];
}

/** What was locked. */
export interface LockedPlugins {
  /** The path of the lock. */
  readonly path: string;
  /** The entries. */
  readonly specifiers: readonly string[];
  /** URL to digest, of every module. */
  readonly modules: ReadonlyMap<string, string>;
}

/**
 * Fetches every module of the application's remote plugins and writes their digests into the lock, in place of what it said before.
 * Nothing of them is run.
 *
 * @param options What to lock, and where.
 * @returns What was locked.
 * @throws {ConfigError} When there is nothing to lock, or the lock cannot be written.
 * @throws {MessageQueueError} As loading does.
 */
export async function lockPlugins(options: LockPluginsOptions = {}): Promise<LockedPlugins> {
  const found = discovery(options);
  const { specifiers, sources } = await remoteSpecifiers(options, found);
  if (specifiers.length === 0) {
    throw new ConfigError([
      "there is no plugin from a URL to lock: name one by ABE_MQ_PLUGIN_URL, in the map, or as an argument",
    ]);
  }
  const { lockGraphs } = await import("./remote/locking.ts");
  return await lockGraphs(specifiers, settingsOf(found, sources));
}

async function remoteSpecifiers(
  options: LockPluginsOptions,
  found: Discovery,
): Promise<{ specifiers: string[]; sources: Sources }> {
  const sources = await readSources(sourceOptions(found));
  const { specifiers, backend } = options;
  const wanted = specifiers ?? [
    typeof backend === "string" ? backend : undefined,
    found.env.get("ABE_MQ_PLUGIN_URL"),
    ...sources.configured.map((entry) => entry.specifier),
  ];
  const remote = wanted.filter((each) => each !== undefined && /^(?:https?|jsr):/i.test(each));
  return { specifiers: [...new Set(remote)] as string[], sources };
}

/** What became of a check. */
export interface VerifiedPlugins {
  /** The path of the lock. */
  readonly path: string;
  /** How many URLs were fetched and compared. */
  readonly checked: number;
  /** What is not as the lock says. */
  readonly problems: readonly { readonly url: string; readonly problem: string }[];
}

/**
 * Fetches everything that the lock names anew, past the cache, and compares.
 *
 * @param options Where the lock is.
 * @returns What was found.
 * @throws {ConfigError} When there is no lock.
 */
export async function verifyPlugins(options: DiscoveryOptions = {}): Promise<VerifiedPlugins> {
  const { verifyLock } = await import("./remote/locking.ts");
  return await verifyLock(settingsOf(discovery(options)));
}

/**
 * Fetches the entry of a plugin and writes its digest behind its URL, as ABE_MQ_PLUGIN_URL takes it.
 *
 * @param specifier A URL or a `jsr:` specifier.
 * @param options How to fetch it.
 * @returns The URL with the digest; a `jsr:` specifier becomes the URL of the exact version.
 * @throws {MessageQueueError} As loading does; `unsupported` for what is not remote.
 */
export async function pinPlugin(specifier: string, options: DiscoveryOptions = {}): Promise<string> {
  if (!/^(?:https?|jsr):/i.test(specifier)) {
    throw new MessageQueueError("unsupported", "Cannot pin what is not an `https:` URL or a `jsr:` specifier");
  }
  const { pinEntry } = await import("./remote/locking.ts");
  return await pinEntry(specifier, settingsOf(discovery(options)));
}
