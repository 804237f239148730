/**
 * Finding and loading the module of a backend.
 *
 * @module
 */

import type { MessageQueueBackendModule } from "../core/backend.ts";
import { describeError, MessageQueueError } from "../core/errors.ts";
import { decide, type Discovery, settingsOf, sourceOptions } from "./discovery.ts";
import { loadSpecifier } from "./load.ts";
import { chooseBackend, isBackendModule } from "./module.ts";
import { hideCredentials, showUrl } from "./remote/url.ts";
import { chooseOnly } from "./selection.ts";
import { builtinEntries, type Entry, lookUp, optionSources, readSources, type Sources } from "./sources.ts";

/** What makes the backend, and where it is from. */
export interface Found {
  /** Something with `fromEnv`. */
  readonly module: MessageQueueBackendModule;
  /** How it is named in messages. */
  readonly where: string;
}

/**
 * Finds the module that a discovery asks for.
 *
 * @param found The discovery.
 * @returns What makes the backend.
 */
export async function findModule(found: Discovery): Promise<Found> {
  const { backend } = found.options;
  if (backend !== undefined && typeof backend !== "string") {
    const where = "the backend option";
    // A namespace object of a module is taken as well.
    return { module: isBackendModule(backend) ? backend : chooseBackend(backend, { where }), where };
  }
  const choice = decide(found);
  if (choice.kind === "specifier") return await loadUrl(choice.specifier, found, choice);
  const { plugins } = found.options;
  if (choice.kind === "name" && plugins !== undefined && Object.hasOwn(plugins, choice.name)) {
    // What the application itself says needs no look elsewhere, and so no permission.
    const sources = optionSources(plugins, found.base);
    return await loadEntry(lookUp(choice.name, sources, choice.by), sources, found);
  }
  const sources = await readSources(sourceOptions(found));
  if (choice.kind === "name") return await loadEntry(lookUp(choice.name, sources, choice.by), sources, found);
  const only = chooseOnly(candidates(sources));
  if (only !== undefined) return await loadEntry(lookUp(only, sources, "being the only plugin"), sources, found);
  found.logger.warn(
    "No backend is configured, so messages are kept in memory and are gone when this process ends. " +
      "Name one by MESSAGE_QUEUE_BACKEND or ABE_MQ_PLUGIN_URL; MESSAGE_QUEUE_BACKEND=memory says that memory is meant",
  );
  return await loadEntry(lookUp("memory", sources, "default"), sources, found);
}

/**
 * Loads the module that a specifier names.
 *
 * @param specifier The specifier.
 * @param found The discovery.
 * @param options Which of its backends, and what asked for it.
 * @returns What makes the backend.
 */
export async function loadUrl(
  specifier: string,
  found: Discovery,
  { name, by = specifier }: { readonly name?: string | undefined; readonly by?: string } = {},
): Promise<Found> {
  const namespace = await loadSpecifier(specifier, settingsOf(found), by);
  const where = showUrl(specifier);
  return { module: chooseBackend(namespace, { where, name, strict: true }), where };
}

/**
 * Loads what a name stands for.
 *
 * @param entry The name's entry.
 * @param sources Where it was found.
 * @param found The discovery.
 * @returns What makes the backend.
 */
export async function loadEntry(entry: Entry, sources: Sources, found: Discovery): Promise<Found> {
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
