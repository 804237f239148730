/**
 * The settings of loading code from URLs: options first, then variables.
 *
 * @module
 */

import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Env, isOn } from "../core/env.ts";
import { ConfigError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { platform, runtime } from "../core/runtime.ts";
import type { Limits } from "./remote/limits.ts";

/** How code from URLs is loaded. */
export interface RemoteOptions {
  /**
   * Digests that code must have: one for the entry, or a table from URL to digest, as in an import map.
   *
   * @default {what the URL's fragment, the map and the lock say}
   */
  readonly integrity?: string | Readonly<Record<string, string>>;
  /**
   * Refuse whatever is not in the lock.
   *
   * @default {whether ABE_MQ_PLUGIN_FROZEN is 1, true, yes or on}
   */
  readonly frozen?: boolean;
  /**
   * The hosts that code may come from: `example.com`, `example.com:8443`, `*.example.com`. Absent means all.
   *
   * @default {ABE_MQ_PLUGIN_HOSTS, separated by commas}
   */
  readonly hosts?: readonly string[];
  /**
   * The path of the lock file.
   *
   * @default {"abe-mq.lock.json" under `baseUrl`}
   */
  readonly lock?: string;
  /**
   * The folder in which code from URLs is kept.
   *
   * @default {ABE_MQ_CACHE_DIR, else `abe-mq` in the platform's folder for caches}
   */
  readonly cacheDir?: string;
  /**
   * How long loading a module with all that it imports may take, in milliseconds.
   *
   * @default {30_000}
   */
  readonly timeoutMs?: number;
  /**
   * Other bounds of fetching.
   *
   * @default {8 MiB a module, 64 MiB, 1,000 modules, 64 levels, 5 redirects, 10 s without a byte}
   */
  readonly limits?: Partial<Limits>;
}

/** The settings of one load, complete. */
export interface RemoteSettings {
  /** The application's folder. */
  readonly base: URL;
  /** Where the variables are read. */
  readonly env: Env;
  /** Where to say what happens. */
  readonly logger: Logger;
  /** Digests by URL, from the map and the options. */
  readonly integrity: ReadonlyMap<string, string>;
  /** The digest of the entry, from the option. */
  readonly digest?: string | undefined;
  /** Refuse whatever is not in the lock. */
  readonly frozen: boolean;
  /** The hosts allowed; absent means all. */
  readonly hosts?: readonly string[] | undefined;
  /** The path of the lock. */
  readonly lock: string;
  /** Whether the lock was asked for by its path, and must be there. */
  readonly lockRequired: boolean;
  /** The folder of the cache, if it was named. */
  readonly cacheDir?: string | undefined;
  /** How long loading may take. */
  readonly timeoutMs: number;
  /** Other bounds. */
  readonly limits: Partial<Limits>;
}

/** How long loading may take unless told otherwise, in milliseconds: longer than any server that is well, shorter than patience. */
export const defaultTimeoutMs = 30_000;

/**
 * Completes the settings.
 *
 * @param options What the application gave.
 * @param context Where the rest comes from.
 * @returns The settings.
 */
export function remoteSettings(
  options: RemoteOptions,
  context: {
    readonly base: URL;
    readonly env: Env;
    readonly logger: Logger;
    readonly integrity?: ReadonlyMap<string, string>;
  },
): RemoteSettings {
  const { base, env, logger } = context;
  const folder = base.protocol === "file:" ? fileURLToPath(base) : ".";
  const absolute = (path: string) => isAbsolute(path) ? path : resolve(folder, path);
  const integrity = new Map(context.integrity);
  if (typeof options.integrity === "object") {
    for (const [url, digest] of Object.entries(options.integrity)) integrity.set(url, digest);
  }
  const hosts = options.hosts ?? restriction("ABE_MQ_PLUGIN_HOSTS", env, logger)?.split(/[\s,]+/).filter(Boolean);
  return {
    base,
    env,
    logger,
    integrity,
    digest: typeof options.integrity === "string" ? options.integrity : undefined,
    frozen: options.frozen ?? isOn(restriction("ABE_MQ_PLUGIN_FROZEN", env, logger)),
    hosts,
    lock: absolute(options.lock ?? "abe-mq.lock.json"),
    lockRequired: options.lock !== undefined,
    cacheDir: options.cacheDir === undefined ? undefined : absolute(options.cacheDir),
    timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
    limits: options.limits ?? {},
  };
}

// Whoever sets a restriction grants the right to read it as well; that it cannot be read is still worth a line.
function restriction(name: string, env: Env, logger: Logger): string | undefined {
  try {
    return env.get(name);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    logger.debug(`${name} may not be read, so it counts as unset: allow it by \`--allow-env=${name}\``);
    return undefined;
  }
}

/**
 * The folder for code from URLs.
 *
 * @param settings The settings.
 * @returns Its path.
 * @throws {ConfigError} When none can be told.
 */
export function cacheFolder(settings: RemoteSettings): string {
  const { env, cacheDir } = settings;
  const named = cacheDir ?? env.getOptional("ABE_MQ_CACHE_DIR");
  if (named !== undefined) return resolve(named);
  const os = platform();
  const caches = env.getOptional(os === "win32" ? "LOCALAPPDATA" : "XDG_CACHE_HOME");
  if (caches !== undefined && isAbsolute(caches) && os !== "darwin") return join(caches, "abe-mq");
  // On Deno, asking the system for the home folder needs a permission of its own.
  const home = env.getOptional(os === "win32" ? "USERPROFILE" : "HOME") ?? (runtime === "deno" ? undefined : homedir());
  if (home === undefined || !isAbsolute(home)) {
    throw new ConfigError([
      "there is no folder for code from URLs: name one by ABE_MQ_CACHE_DIR (on Deno with `--allow-env=ABE_MQ_CACHE_DIR`)",
    ]);
  }
  if (os === "darwin") return join(home, "Library", "Caches", "abe-mq");
  return os === "win32" ? join(home, "AppData", "Local", "abe-mq") : join(home, ".cache", "abe-mq");
}
