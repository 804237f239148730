/**
 * Reading small files of the application, only where that needs no question.
 *
 * @module
 */

import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isPermitted, workingDirectory } from "../core/runtime.ts";

/** What became of reading a file. */
export type Reading =
  | { readonly text: string }
  /** It is not there. */
  | { readonly missing: true }
  /** Deno has not been given permission to read it. */
  | { readonly denied: true };

/**
 * Reads a text file.
 *
 * @param url Its `file:` URL.
 * @returns Its text, or why there is none.
 * @throws What the system says when it is there and cannot be read.
 */
export async function readText(url: URL): Promise<Reading> {
  const path = fileURLToPath(url);
  if (!isPermitted({ name: "read", path })) return { denied: true };
  try {
    return { text: await readFile(path, "utf8") };
  } catch (error) {
    if (isMissing(error)) return { missing: true };
    throw error;
  }
}

/**
 * Whether a file is surely not there.
 *
 * @param url Its `file:` URL.
 * @returns `false` also when that may not be known.
 */
export async function isAbsent(url: URL): Promise<boolean> {
  const path = fileURLToPath(url);
  if (!isPermitted({ name: "read", path })) return false;
  try {
    await stat(path);
    return false;
  } catch (error) {
    return isMissing(error);
  }
}

function isMissing(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return code === "ENOENT" || code === "ENOTDIR";
}

/**
 * The folder from which relative specifiers and bare names are resolved.
 *
 * @param base A folder as path or URL; the working directory when absent.
 * @returns Its URL, with a slash at its end.
 */
export function folderUrl(base: string | URL | undefined): URL {
  const url = base instanceof URL
    ? base
    : base !== undefined && /^[a-z][a-z0-9+.-]+:/i.test(base)
    ? new URL(base)
    : pathToFileURL(resolve(workingDirectory(), base ?? "."));
  return url.href.endsWith("/") ? url : new URL(`${url.href}/`);
}

/**
 * Removes the comments and trailing commas that `deno.jsonc` and `deno.json` may hold.
 *
 * @param text JSON with comments.
 * @returns JSON.
 */
export function stripJsonComments(text: string): string {
  // Strings first, so that what looks like a comment inside one stays.
  return text.replace(/^\uFEFF/, "")
    .replace(/("(?:[^"\\]|\\.)*")|\/\/[^\n]*|\/\*[^]*?\*\//g, (_all, string?: string) => string ?? " ")
    .replace(/("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])/g, (_all, string?: string) => string ?? "");
}
