/**
 * What a module must export to be a backend.
 *
 * @module
 */

import type { MessageQueueBackend, MessageQueueBackendModule } from "../core/backend.ts";
import { MessageQueueError } from "../core/errors.ts";
import { nearestName, quoteName } from "./suggest.ts";

/** How a backend is chosen among what a module exports. */
export interface ChooseOptions {
  /** How the module is named in messages. */
  readonly where: string;
  /** The name asked for. */
  readonly name?: string | undefined;
  /**
   * Whether the module must know the name: no match is then an error. Otherwise its default export will do.
   *
   * @default {false}
   */
  readonly strict?: boolean;
}

/**
 * Picks the backend that a module exports.
 *
 * @param module The module's namespace object.
 * @param options Which one.
 * @returns Something with `fromEnv`.
 * @throws {MessageQueueError} `plugin_invalid` when it exports no backend, or none of that name; `plugin_ambiguous` when it
 *   exports several and none was named.
 */
export function chooseBackend(module: unknown, options: ChooseOptions): MessageQueueBackendModule {
  const { where, name, strict = false } = options;
  const found = exportedBackends(module);
  const named = name === undefined ? undefined : found.get(name);
  if (named !== undefined) return named;
  const names = [...found.keys()];
  if (name !== undefined && strict && names.length > 0) {
    const near = nearestName(name, names);
    throw new MessageQueueError(
      "plugin_invalid",
      `Cannot use ${quoteName(name)} from ${where}: it exports ${listNames(names)}${
        near ? `; did you mean ${near}?` : ""
      }` +
        " (MESSAGE_QUEUE_BACKEND chooses among what the module of ABE_MQ_PLUGIN_URL exports; unset it to take the default export)",
    );
  }
  const fallback = found.get("default") ?? (found.size === 1 ? found.values().next().value : undefined);
  if (fallback !== undefined) return fallback;
  if (found.size > 1) {
    throw new MessageQueueError(
      "plugin_ambiguous",
      `Cannot choose a backend from ${where}: it exports ${listNames(names)}; name one by MESSAGE_QUEUE_BACKEND`,
    );
  }
  throw new MessageQueueError(
    "plugin_invalid",
    `Cannot use ${where} as a backend: ${whatIsThere(module)}. It must export as default a class or object with ` +
      "`fromEnv(env)`, or `backends: { NAME: ... }` of such",
  );
}

/**
 * Checks what `fromEnv` made.
 *
 * @param backend What it returned.
 * @param where How the module is named in messages.
 * @returns The backend.
 * @throws {MessageQueueError} `plugin_invalid` when `publish` or `consume` is missing.
 */
export function checkBackend(backend: unknown, where: string): MessageQueueBackend {
  const missing = ["publish", "consume"].filter((method) => {
    return typeof (backend as Record<string, unknown> | null | undefined)?.[method] !== "function";
  });
  if (missing.length === 0) return backend as MessageQueueBackend;
  throw new MessageQueueError(
    "plugin_invalid",
    `Cannot use the backend of ${where}: what its \`fromEnv\` returned (${typeOf(backend)}) has no ${
      missing.map((method) => `\`${method}\``).join(" and no ")
    } method`,
  );
}

/**
 * Whether something makes backends.
 *
 * @param value Anything.
 * @returns Whether it has a `fromEnv`.
 */
export function isBackendModule(value: unknown): value is MessageQueueBackendModule {
  return (typeof value === "object" || typeof value === "function") && value !== null &&
    typeof (value as { fromEnv?: unknown }).fromEnv === "function";
}

function exportedBackends(module: unknown): Map<string, MessageQueueBackendModule> {
  const found = new Map<string, MessageQueueBackendModule>();
  if (typeof module !== "object" || module === null) return found;
  let { default: main, backends } = module as { default?: unknown; backends?: unknown };
  // CommonJS that was made from ES modules arrives wrapped once more.
  if (typeof main === "object" && main !== null && !isBackendModule(main) && "default" in main) {
    backends ??= (main as { backends?: unknown }).backends;
    main = main.default;
  }
  if (isBackendModule(main)) found.set("default", main);
  if (typeof backends === "object" && backends !== null) {
    for (const [name, value] of Object.entries(backends)) if (isBackendModule(value)) found.set(name, value);
  }
  return found;
}

function whatIsThere(module: unknown): string {
  if (typeof module !== "object" || module === null) return `it is ${typeOf(module)}`;
  const names = Object.keys(module);
  if (names.length === 0) return "it exports nothing";
  const parts: string[] = [];
  if ("default" in module) parts.push(`its default export is ${typeOf(module.default)} without \`fromEnv\``);
  else parts.push("it has no default export");
  const others = names.filter((name) => name !== "default");
  if (others.length > 0) parts.push(`it exports ${listNames(others)}`);
  return parts.join(", and ");
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "function") return value.name === "" ? "a function" : `the class or function ${value.name}`;
  if (typeof value === "object") return "an object";
  return value === undefined ? "undefined" : `a ${typeof value}`;
}

function listNames(names: readonly string[]): string {
  const shown = names.slice(0, 12).join(", ");
  return names.length > 12 ? `${shown} and ${names.length - 12} more` : shown;
}
