/**
 * The options of a discovery, and what is read from them and from variables.
 *
 * @module
 */

import type { MessageQueueBackendModule } from "../core/backend.ts";
import { type Env, processEnv } from "../core/env.ts";
import { type Logger, loggerFromEnv } from "../core/logger.ts";
import { folderUrl } from "./files.ts";
import { type Choice, choose } from "./selection.ts";
import { type RemoteOptions, type RemoteSettings, remoteSettings } from "./settings.ts";
import type { PluginOption, SourceOptions, Sources } from "./sources.ts";

/** Where a backend is looked for. */
export interface DiscoveryOptions extends RemoteOptions {
  /**
   * The backend: its name, a specifier (a URL, `jsr:`, `npm:`, a path), or what makes it. Nothing else is then looked at.
   *
   * @default {what the variables say}
   */
  readonly backend?: string | MessageQueueBackendModule;
  /**
   * Backends by name, before all other places: a specifier, a function that imports a module, or what makes the backend.
   *
   * @default {{}}
   */
  readonly plugins?: Readonly<Record<string, PluginOption>>;
  /**
   * Where the variables are read, here and by the backend.
   *
   * @default {processEnv}
   */
  readonly env?: Env;
  /**
   * Where to say what happens.
   *
   * @default {warnings and errors to standard error; more with ABSTRACT_BACKEND_DEBUG}
   */
  readonly logger?: Logger;
  /**
   * The application's folder, as path or URL: relative specifiers, the default map, packages and the lock are looked for from there.
   *
   * @default {the working directory}
   */
  readonly baseUrl?: string | URL;
}

/** A discovery under way: the options, complete. */
export interface Discovery {
  /** What the application gave. */
  readonly options: DiscoveryOptions;
  /** Where the variables are read. */
  readonly env: Env;
  /** Where to say what happens. */
  readonly logger: Logger;
  /** The application's folder. */
  readonly base: URL;
}

/**
 * Completes the options of a discovery.
 *
 * @param options What the application gave.
 * @returns The discovery.
 */
export function discovery(options: DiscoveryOptions): Discovery {
  const env = options.env ?? processEnv;
  return { options, env, logger: options.logger ?? loggerFromEnv(env, "queue"), base: folderUrl(options.baseUrl) };
}

/**
 * What an application's options and variables ask for.
 *
 * @param found The discovery.
 * @returns What to load.
 */
export function decide({ options, env }: Discovery): Choice {
  const argument = typeof options.backend === "string" ? options.backend : undefined;
  // A variable that cannot matter is not read: each read is a permission on Deno.
  if (argument !== undefined) return choose({ argument });
  return choose({
    url: env.get("ABE_MQ_PLUGIN_URL"),
    name: env.get("MESSAGE_QUEUE_BACKEND") ?? env.getOptional("QUEUE_BACKEND"),
  });
}

/**
 * Where the names of a discovery are read from.
 *
 * @param found The discovery.
 * @returns What `readSources` needs.
 */
export function sourceOptions(found: Discovery): SourceOptions {
  return {
    plugins: found.options.plugins,
    env: found.env,
    base: found.base,
    fetchText: async (url) => {
      const { fetchText } = await import("./remote/load.ts");
      return await fetchText(url, settingsOf(found));
    },
  };
}

/**
 * How code from URLs is loaded in a discovery.
 *
 * @param found The discovery.
 * @param sources What the application's map says about digests.
 * @returns The settings.
 */
export function settingsOf(found: Discovery, sources?: Sources): RemoteSettings {
  return remoteSettings(found.options, { ...found, ...(sources !== undefined && { integrity: sources.integrity }) });
}
