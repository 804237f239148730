/**
 * Loading a module from a URL on runtimes that do not do it by themselves, and on Deno where the bytes must be checked first.
 *
 * @module
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError, MessageQueueError } from "../../core/errors.ts";
import { runtime } from "../../core/runtime.ts";
import { cacheFolder, type RemoteSettings } from "../settings.ts";
import { emitGraph } from "./emit.ts";
import { deadline, fetchBytes, type FetchContext } from "./fetch.ts";
import { type GraphContext, loadGraph } from "./graph.ts";
import { checkDigest, parseDigest } from "./integrity.ts";
import { defaultRegistry, jsrRegistry } from "./jsr.ts";
import { defaultLimits } from "./limits.ts";
import { readLock } from "./lock.ts";
import { type Lock, type Pins, Recorder } from "./pins.ts";
import { Store } from "./store.ts";
import { parseHosts, showUrl } from "./url.ts";

/** A remote specifier without its digest. */
export interface Entry {
  /** A URL without fragment, or a `jsr:` specifier. */
  readonly specifier: string;
  /** Its digest, if one was given. */
  readonly digest?: string | undefined;
}

/**
 * Takes the digest off a specifier.
 *
 * @param specifier An `http(s):` URL or a `jsr:` specifier, perhaps with `#sha256-...`.
 * @returns Both parts.
 * @throws {ConfigError} When the fragment is no digest: a digest with a slip in it must not go unnoticed.
 */
export function splitDigest(specifier: string): Entry {
  const at = specifier.indexOf("#");
  if (at < 0) return { specifier };
  let digest = specifier.slice(at + 1);
  try {
    digest = decodeURIComponent(digest);
  } catch (error) {
    throw new ConfigError([`the fragment of ${showUrl(specifier)} is not a digest`], { cause: error });
  }
  if (digest !== "") parseDigest(digest, `the fragment of ${showUrl(specifier)}`);
  return { specifier: specifier.slice(0, at), ...(digest !== "" && { digest }) };
}

/** What says how strict to be. */
export interface Strictness {
  /** The digest of the entry. */
  readonly digest?: string | undefined;
  /** The lock, if there is one. */
  readonly lock?: Lock | undefined;
  /** Whether the entry is in the lock. */
  readonly locked: boolean;
}

/**
 * Finds out what is pinned.
 *
 * @param entry The entry.
 * @param settings The settings.
 * @returns The digest and the lock.
 * @throws {ConfigError} When the lock is needed and not there, or is no lock.
 */
export async function strictness(entry: Entry, settings: RemoteSettings): Promise<Strictness> {
  const { specifier } = entry;
  const lock = await readLock(settings.lock, settings.lockRequired || settings.frozen);
  const locked = lock !== undefined &&
    (lock.modules.has(specifier) || lock.redirects.has(specifier) || lock.jsr.has(specifier));
  return { digest: entry.digest ?? settings.digest ?? settings.integrity.get(specifier), lock, locked };
}

/**
 * Whether the bytes must be checked by us before they run.
 *
 * @param pinned What is pinned.
 * @param settings The settings.
 * @returns Whether the runtime's own loading will not do.
 */
export function mustCheck(pinned: Strictness, settings: RemoteSettings): boolean {
  return pinned.digest !== undefined || pinned.lock !== undefined || settings.frozen || settings.hosts !== undefined ||
    settings.integrity.size > 0;
}

const warned = new Set<string>();

/**
 * Says once, for code over a network that is not pinned, how to pin it.
 *
 * @param entry The entry.
 * @param pinned What is pinned.
 * @param settings The settings.
 */
export function warnUnpinned(entry: Entry, pinned: Strictness, settings: RemoteSettings): void {
  const { specifier } = entry;
  if (pinned.locked || pinned.digest !== undefined || specifier.startsWith("http:") || warned.has(specifier)) return;
  warned.add(specifier);
  settings.logger.warn(
    `The code of ${showUrl(specifier)} is not pinned: whoever controls that server decides what runs here. ` +
      "Pin it by `mq plugins lock` (of jsr:@abe/mq-cli) or `lockPlugins()`, or by a digest behind `#` in its URL",
  );
}

/**
 * Fetches a module and what it imports, checks and keeps it, and imports it.
 *
 * @param entry What to load.
 * @param pinned What is pinned.
 * @param settings The settings.
 * @returns The URL of a file to import.
 * @throws {MessageQueueError} `plugin_refused`, `plugin_not_found`, `plugin_failed`, `timeout`, `storage`.
 */
export async function prepareRemote(entry: Entry, pinned: Strictness, settings: RemoteSettings): Promise<string> {
  const what = showUrl(entry.specifier);
  const { signal, stop } = deadline(settings.timeoutMs, what);
  try {
    const store = await Store.open(cacheFolder(settings), settings.logger);
    const context = graphContext(entry, pinned, settings, signal, store);
    const modules = await loadGraph(entry.specifier, context);
    const { files, entry: first } = await emitGraph(modules);
    const folder = await store.writeGraph(files);
    settings.logger.debug(`Loaded ${modules.length} modules of ${what} into ${folder}`);
    return pathToFileURL(join(folder, first)).href;
  } finally {
    stop();
  }
}

/**
 * The rules for loading one graph.
 *
 * @param entry What to load.
 * @param pinned What is pinned.
 * @param settings The settings.
 * @param signal Aborted when it takes too long.
 * @param store Where bodies are kept; absent to fetch all of them.
 * @returns What `loadGraph` needs.
 */
export function graphContext(
  entry: Entry,
  pinned: Strictness,
  settings: RemoteSettings,
  signal: AbortSignal,
  store: Store | undefined,
): GraphContext {
  const { lock, digest } = pinned;
  const integrity = new Map(settings.integrity);
  if (digest !== undefined && !entry.specifier.startsWith("jsr:")) integrity.set(new URL(entry.specifier).href, digest);
  const pins: Pins = {
    integrity,
    entryDigest: digest,
    frozen: settings.frozen,
    sealed: whySealed(entry, pinned, settings),
    ...(lock !== undefined && { lock: { content: lock, path: settings.lock } }),
  };
  return {
    ...fetchContext(settings, signal),
    pins,
    recorder: new Recorder(),
    store,
    jsr: jsrRegistry(settings.env.getOptional("JSR_URL") ?? defaultRegistry),
    base: settings.base,
  };
}

function whySealed(entry: Entry, pinned: Strictness, settings: RemoteSettings): string | undefined {
  if (settings.frozen) return "loading is frozen (ABE_MQ_PLUGIN_FROZEN or the frozen option)";
  const shown = showUrl(entry.specifier);
  if (pinned.locked) return `${shown} is locked together with what it imported then`;
  // The digest of one file says nothing about the files that it imports.
  return pinned.digest === undefined
    ? undefined
    : `the digest of ${shown} vouches for what it imports only through a lock`;
}

function fetchContext(settings: RemoteSettings, signal: AbortSignal): FetchContext {
  const limits = { ...defaultLimits, ...settings.limits };
  return {
    limits: { ...limits, totalMs: settings.timeoutMs, stallMs: Math.min(limits.stallMs, settings.timeoutMs) },
    ...(settings.hosts !== undefined && { hosts: parseHosts(settings.hosts) }),
    signal,
  };
}

/**
 * Fetches a text, such as a map, by the same rules.
 *
 * @param url Its URL.
 * @param settings The settings.
 * @returns The text.
 */
export async function fetchText(url: string, settings: RemoteSettings): Promise<string> {
  const { specifier, digest } = splitDigest(url);
  const { signal, stop } = deadline(settings.timeoutMs, showUrl(url));
  try {
    const { bytes } = await fetchBytes(new URL(specifier), fetchContext(settings, signal));
    if (digest !== undefined) {
      checkDigest(bytes, parseDigest(digest, "the fragment"), specifier, "the fragment of its URL");
    }
    return new TextDecoder().decode(bytes);
  } finally {
    stop();
  }
}

/** Whether this runtime imports URLs by itself. */
export const importsUrls: boolean = runtime === "deno";

/** The error for a scheme that is neither code nor a package. */
export function badScheme(specifier: string): MessageQueueError {
  return new MessageQueueError(
    "plugin_refused",
    `Cannot load ${
      showUrl(specifier)
    }: a backend comes from \`https:\`, \`jsr:\`, \`npm:\`, \`file:\`, a path, or a package's name`,
  );
}
