/**
 * Which backend: the rules, without reading anything.
 *
 * @module
 */

import { ConfigError, MessageQueueError } from "../core/errors.ts";
import { isSpecifier } from "./import_map.ts";

/** What was asked for. */
export interface Wishes {
  /** The explicit argument: a name, or a specifier. */
  readonly argument?: string | undefined;
  /** `ABE_MQ_PLUGIN_URL`. */
  readonly url?: string | undefined;
  /** `MESSAGE_QUEUE_BACKEND`. */
  readonly name?: string | undefined;
}

/** What is to be loaded. */
export type Choice =
  /** A specifier, and which of its backends. */
  | { readonly kind: "specifier"; readonly specifier: string; readonly name?: string; readonly by: string }
  /** A name, to be looked up. */
  | { readonly kind: "name"; readonly name: string; readonly by: string }
  /** Nothing was asked for: the only plugin, else memory. */
  | { readonly kind: "open" };

/**
 * Decides by what was asked for.
 *
 * @param wishes What was asked for.
 * @returns What to load.
 * @throws {ConfigError} When `ABE_MQ_PLUGIN_URL` is not a URL.
 */
export function choose(wishes: Wishes): Choice {
  const { argument, url, name } = wishes;
  if (argument !== undefined) {
    if (argument === "") throw new ConfigError(["the backend option is empty: leave it out, or give a name or a URL"]);
    const by = "the backend option";
    return isSpecifier(argument)
      ? { kind: "specifier", specifier: argument, by }
      : { kind: "name", name: argument, by };
  }
  if (url !== undefined) {
    if (!isSpecifier(url)) {
      throw new ConfigError([
        "ABE_MQ_PLUGIN_URL must be a URL, a `jsr:` or `npm:` specifier, or a path that begins with `./`; " +
        "a name goes into MESSAGE_QUEUE_BACKEND",
      ]);
    }
    return { kind: "specifier", specifier: url, ...(name !== undefined && { name }), by: "ABE_MQ_PLUGIN_URL" };
  }
  if (name !== undefined) {
    const by = "MESSAGE_QUEUE_BACKEND";
    return isSpecifier(name) ? { kind: "specifier", specifier: name, by } : { kind: "name", name, by };
  }
  return { kind: "open" };
}

/** A backend that the application has configured. */
export interface Candidate {
  /** Its name. */
  readonly name: string;
  /** Where the name comes from, for messages. */
  readonly where: string;
}

/**
 * Picks the only configured plugin.
 *
 * @param candidates The plugins of option, map and dependencies; the built-in ones do not count.
 * @returns Its name, or `undefined` when there is none.
 * @throws {MessageQueueError} `plugin_ambiguous` when there are several.
 */
export function chooseOnly(candidates: readonly Candidate[]): string | undefined {
  if (candidates.length <= 1) return candidates[0]?.name;
  const list = candidates.map(({ name, where }) => `${name} (${where})`).join(", ");
  throw new MessageQueueError(
    "plugin_ambiguous",
    `Cannot choose a backend: ${candidates.length} plugins are configured, ${list}; ` +
      `name one, as by MESSAGE_QUEUE_BACKEND=${candidates[0]?.name}`,
  );
}
