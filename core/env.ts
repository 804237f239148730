/**
 * Environment variables, read one at a time and by name.
 *
 * @module
 */

import { ConfigError } from "./errors.ts";
import { readVariable } from "./runtime.ts";

/**
 * Where a backend's `fromEnv` reads its settings. Every name is read by itself, so a program that may read just those
 * names works.
 *
 * @example
 * ```ts
 * import { envFrom } from "@abe/mq";
 *
 * const env = envFrom({ MESSAGE_QUEUE_HOST: "localhost" });
 * console.assert(env.get("MESSAGE_QUEUE_HOST") === "localhost" && env.get("MESSAGE_QUEUE_PORT") === undefined);
 * ```
 */
export interface Env {
  /**
   * Reads a variable.
   *
   * @param name Its name.
   * @returns Its value; `undefined` when it is unset or empty.
   * @throws {ConfigError} When the program may not read it (Deno without `--allow-env=NAME`).
   */
  get(name: string): string | undefined;
  /**
   * Reads a variable that the program can do without: an alias, a debug switch.
   *
   * @param name Its name.
   * @returns Its value; `undefined` when it is unset, empty, or may not be read.
   */
  getOptional(name: string): string | undefined;
}

/** The variables of this process. Reading one never prompts. */
export const processEnv: Env = {
  get(name: string): string | undefined {
    const variable = readVariable(name);
    if ("denied" in variable) {
      throw new ConfigError([
        `${name} may not be read: allow it by \`--allow-env=${name}\` (several names are joined by commas)`,
      ]);
    }
    return variable.value || undefined;
  },
  getOptional(name: string): string | undefined {
    const variable = readVariable(name);
    return "denied" in variable ? undefined : variable.value || undefined;
  },
};

/**
 * An environment of given values, for tests and for settings that come from elsewhere.
 *
 * @param variables Names and values; an empty value counts as unset.
 * @returns The environment.
 */
export function envFrom(variables: Readonly<Record<string, string | undefined>>): Env {
  const get = (name: string) => Object.hasOwn(variables, name) ? variables[name] || undefined : undefined;
  return { get, getOptional: get };
}

const truthy = new Set(["1", "true", "yes", "on"]);

/**
 * Whether the value of a switch turns it on.
 *
 * @param value The variable's value.
 * @returns Whether it is `1`, `true`, `yes` or `on`, in any case.
 */
export function isOn(value: string | undefined): boolean {
  return value !== undefined && truthy.has(value.toLowerCase());
}
