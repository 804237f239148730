/**
 * Finding the backend at start-up: by an argument, a variable, a map, a URL, or what is installed.
 *
 * @module
 */

import type { MessageQueueBackend, MessageQueueBackendModule } from "../core/backend.ts";
import { type Env, processEnv } from "../core/env.ts";
import { describeError, MessageQueueError } from "../core/errors.ts";
import { type Logger, loggerFromEnv } from "../core/logger.ts";
import type { MessageQueueOptions } from "../core/options.ts";
import { MessageQueue } from "../core/queue.ts";
import { folderUrl } from "./files.ts";
import { loadSpecifier } from "./load.ts";
import { checkBackend, chooseBackend, isBackendModule } from "./module.ts";
import { hideCredentials, showUrl } from "./remote/url.ts";
import { type Choice, choose, chooseOnly } from "./selection.ts";
import { type RemoteOptions, type RemoteSettings, remoteSettings } from "./settings.ts";
import {
  builtinEntries,
  type Entry,
  lookUp,
  optionSources,
  type PluginOption,
  readSources,
  type Sources,
} from "./sources.ts";

export type { PluginOption } from "./sources.ts";
export type { RemoteOptions } from "./settings.ts";

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
 * Finds the backend that the application is to use, and makes it.
 *
 * The `backend` option counts first; then `ABE_MQ_PLUGIN_URL`, then `MESSAGE_QUEUE_BACKEND`, then the only plugin that is configured, and
 * with nothing at all the memory backend, with a warning. What was asked for and cannot be loaded is an error, never something else.
 *
 * @param options Where to look.
 * @returns The backend as its module made it.
 * @throws {MessageQueueError} `plugin_not_found`, `plugin_invalid`, `plugin_failed`, `plugin_refused`, `plugin_ambiguous`, `timeout`,
 *   `storage`.
 * @throws {ConfigError} When a setting is missing or wrong.
 *
 * @example
 * ```ts
 * import { envFrom, getMessageQueueBackend } from "@abe/mq";
 *
 * const backend = await getMessageQueueBackend({ env: envFrom({ MESSAGE_QUEUE_BACKEND: "memory" }) });
 * await backend.publish("order.created", { id: 1 });
 * ```
 */
export async function getMessageQueueBackend(options: DiscoveryOptions = {}): Promise<MessageQueueBackend> {
  const { env, logger, base } = discovery(options);
  const { module, where } = await findModule({ options, env, logger, base });
  logger.debug(`The backend comes from ${where}`);
  let made: unknown;
  try {
    made = await module.fromEnv(env);
  } catch (error) {
    if (error instanceof MessageQueueError) throw error;
    throw new MessageQueueError(
      "plugin_failed",
      `Cannot make the backend of ${where}: its \`fromEnv\` failed. ${hideCredentials(describeError(error))}`,
      { cause: error },
    );
  }
  return checkBackend(made, where);
}

/**
 * Finds the backend that the application is to use, and wraps it in a queue.
 *
 * @param options Where to look, and the options of the queue.
 * @returns The queue; it disposes the backend with itself.
 * @throws {MessageQueueError} As `getMessageQueueBackend` does.
 *
 * @example
 * ```ts
 * import { envFrom, openQueue } from "@abe/mq";
 *
 * await using mq = await openQueue({ env: envFrom({ MESSAGE_QUEUE_BACKEND: "memory" }) });
 * await mq.publish("order.created", { id: 1 });
 * ```
 */
export async function openQueue(options: DiscoveryOptions & MessageQueueOptions = {}): Promise<MessageQueue> {
  const backend = await getMessageQueueBackend(options);
  return new MessageQueue(backend, { ...options, logger: discovery(options).logger });
}

interface Found {
  readonly module: MessageQueueBackendModule;
  readonly where: string;
}

async function findModule(found: Discovery): Promise<Found> {
  const { backend } = found.options;
  if (backend !== undefined && typeof backend !== "string") {
    const where = "the backend option";
    // A namespace object of a module is taken as well.
    return { module: isBackendModule(backend) ? backend : chooseBackend(backend, { where }), where };
  }
  const choice = decide(found);
  if (choice.kind === "specifier") return await findSpecifier(choice, found);
  const { plugins } = found.options;
  if (choice.kind === "name" && plugins !== undefined && Object.hasOwn(plugins, choice.name)) {
    // What the application itself says needs no look elsewhere, and so no permission.
    const sources = optionSources(plugins, found.base);
    return await findEntry(lookUp(choice.name, sources, choice.by), sources, found);
  }
  const sources = await readSources(sourceOptions(found));
  if (choice.kind === "name") return await findEntry(lookUp(choice.name, sources, choice.by), sources, found);
  const only = chooseOnly(candidates(sources));
  if (only !== undefined) return await findEntry(lookUp(only, sources, "being the only plugin"), sources, found);
  found.logger.warn(
    "No backend is configured, so messages are kept in memory and are gone when this process ends. " +
      "Name one by MESSAGE_QUEUE_BACKEND or ABE_MQ_PLUGIN_URL; MESSAGE_QUEUE_BACKEND=memory says that memory is meant",
  );
  return await findEntry(lookUp("memory", sources, "default"), sources, found);
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
export function sourceOptions(found: Discovery): Parameters<typeof readSources>[0] {
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

function settingsOf(found: Discovery, sources?: Sources): RemoteSettings {
  return remoteSettings(found.options, { ...found, ...(sources !== undefined && { integrity: sources.integrity }) });
}

async function findSpecifier(choice: Choice & { kind: "specifier" }, found: Discovery): Promise<Found> {
  const { specifier, name, by } = choice;
  const namespace = await loadSpecifier(specifier, settingsOf(found), by);
  const where = showUrl(specifier);
  return { module: chooseBackend(namespace, { where, name, strict: true }), where };
}

async function findEntry(entry: Entry, sources: Sources, found: Discovery): Promise<Found> {
  const { name, specifier, load, where: place } = entry;
  const where = entry.from === "built-in" ? `the built-in backend ${name}` : `${name} (${place})`;
  const namespace = load !== undefined
    ? await loadBy(load, where)
    : await loadSpecifier(specifier ?? name, settingsOf(found, sources), where);
  return {
    module: chooseBackend(namespace, {
      where: specifier === undefined ? where : `${where}: ${showUrl(specifier)}`,
      name,
    }),
    where,
  };
}

async function loadBy(load: () => Promise<unknown>, where: string): Promise<unknown> {
  try {
    return await load();
  } catch (error) {
    if (error instanceof MessageQueueError) throw error;
    throw new MessageQueueError(
      "plugin_failed",
      `Cannot load ${where}: ${hideCredentials(describeError(error))}`,
      { cause: error },
    );
  }
}

function candidates(sources: Sources): { name: string; where: string }[] {
  const byName = new Map<string, { name: string; where: string }>();
  const builtins = new Set(builtinEntries().map((entry) => entry.name));
  for (const { name, where, from, packageName } of sources.configured) {
    // A package whose short name is taken goes by its full one.
    const isTaken = byName.has(name) || (from === "dependency" && builtins.has(name));
    const key = from === "dependency" && isTaken ? packageName ?? name : name;
    if (!byName.has(key)) byName.set(key, { name: key, where });
  }
  return [...byName.values()];
}
