/**
 * A small stand-in for `@std/dotenv`, for machines that cannot reach JSR. Only what this repository uses, by the same names: no
 * expansion of variables inside values.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";

/** Options of {@linkcode load}. */
export interface LoadOptions {
  /**
   * The file; `null` reads none. One that does not exist counts as empty.
   *
   * @default {"./.env"}
   */
  envPath?: string | URL | null;
  /**
   * Whether to set the variables of this process too; those that are set already stay.
   *
   * @default {false}
   */
  export?: boolean;
}

/** Reads the variables in a text: `NAME=value` lines, `#` comments, `export` before a name, single and double quotes. */
export function parse(text: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const found = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:'([^']*)'|"((?:[^"\\]|\\.)*)"|([^#]*))/.exec(line);
    const [, name, single, double, bare] = found ?? [];
    if (name === undefined) continue;
    variables[name] = single ?? double?.replace(/\\n/g, "\n").replace(/\\(.)/g, "$1") ?? bare?.trim() ?? "";
  }
  return variables;
}

/** Reads a file of variables. */
export async function load({ envPath = "./.env", ...options }: LoadOptions = {}): Promise<Record<string, string>> {
  const text = envPath === null ? "" : await readFile(envPath, "utf8").catch(noFile);
  return finish(text, options.export);
}

/** Reads a file of variables at once. */
export function loadSync({ envPath = "./.env", ...options }: LoadOptions = {}): Record<string, string> {
  let text = "";
  try {
    text = envPath === null ? "" : readFileSync(envPath, "utf8");
  } catch (error) {
    text = noFile(error);
  }
  return finish(text, options.export);
}

function noFile(error: unknown): string {
  if ((error as { code?: unknown }).code === "ENOENT") return "";
  throw error;
}

function finish(text: string, exported = false): Record<string, string> {
  const variables = parse(text);
  if (exported) {
    for (const [name, value] of Object.entries(variables)) process.env[name] ??= value;
  }
  return variables;
}
