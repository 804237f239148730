/**
 * Reading and writing `abe-mq.lock.json`.
 *
 * @module
 */

import { rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError, describeError } from "../../core/errors.ts";
import { processId } from "../../core/runtime.ts";
import { readText } from "../files.ts";
import { parseDigest } from "./integrity.ts";
import type { Lock } from "./pins.ts";
import { showUrl } from "./url.ts";

/**
 * Reads a lock.
 *
 * @param path Its path.
 * @param required Whether it must be there.
 * @returns The lock; `undefined` when there is none, or Deno may not look.
 * @throws {ConfigError} When it is no lock, or is required and not there.
 */
export async function readLock(path: string, required: boolean): Promise<Lock | undefined> {
  const reading = await readText(pathToFileURL(path));
  if ("text" in reading) return parseLock(reading.text, path);
  if (!required) return undefined;
  throw new ConfigError([
    "denied" in reading
      ? `the lock ${path} may not be read: allow it by \`--allow-read=${path}\``
      : `the lock ${path} does not exist: write it by \`mq plugins lock\` or \`lockPlugins()\``,
  ]);
}

/**
 * Checks the text of a lock.
 *
 * @param text Its text.
 * @param path Where it is, for messages.
 * @returns The lock.
 * @throws {ConfigError} When it is none.
 */
export function parseLock(text: string, path: string): Lock {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ConfigError([`${path} is not JSON: ${describeError(error)}`], { cause: error });
  }
  if (typeof json !== "object" || json === null || (json as { version?: unknown }).version !== 1) {
    throw new ConfigError([`${path} is not a lock of version 1: write it anew by \`mq plugins lock\``]);
  }
  const lock = {
    jsr: table(json, "jsr", path),
    redirects: table(json, "redirects", path),
    modules: table(json, "modules", path),
  };
  for (const url of [...lock.modules.keys(), ...lock.redirects.values(), ...lock.jsr.values()]) {
    if (!URL.canParse(url)) throw new ConfigError([`${path}: ${JSON.stringify(showUrl(url))} is not a URL`]);
  }
  for (const [url, digest] of lock.modules) parseDigest(digest, `${path}: the digest of ${showUrl(url)}`);
  return lock;
}

function table(json: object, member: string, path: string): Map<string, string> {
  const value: unknown = Object.hasOwn(json, member) ? (json as Record<string, unknown>)[member] : {};
  if (typeof value !== "object" || value === null) throw new ConfigError([`${path}: ${member} must be an object`]);
  const result = new Map<string, string>();
  for (const [key, each] of Object.entries(value)) {
    if (typeof each !== "string") {
      throw new ConfigError([`${path}: ${JSON.stringify(key)} in ${member} must be a string`]);
    }
    result.set(key, each);
  }
  return result;
}

/**
 * Writes a lock, sorted so that two runs over the same code give the same file.
 *
 * @param path Its path.
 * @param lock What it says.
 */
export async function writeLock(path: string, lock: Lock): Promise<void> {
  const sorted = (map: ReadonlyMap<string, string>) => {
    const pairs = [...map].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
    return Object.fromEntries(pairs);
  };
  const text = JSON.stringify(
    { version: 1, jsr: sorted(lock.jsr), redirects: sorted(lock.redirects), modules: sorted(lock.modules) },
    undefined,
    2,
  );
  const temporary = join(dirname(path), `.${processId()}-${crypto.randomUUID()}.tmp`);
  try {
    await writeFile(temporary, `${text}\n`, { flag: "wx" });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new ConfigError([`the lock ${path} cannot be written: ${describeError(error)}`], { cause: error });
  }
}
