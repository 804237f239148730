/**
 * The application's import map of plugins: reading it and writing into it.
 *
 * @module
 */

import { ConfigError } from "@abe/mq";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import process from "node:process";
import { CliError, errorText, exitCodes } from "./exit.ts";

interface MapText {
  /** Name to specifier. */
  readonly imports: Map<string, string>;
  /** URL to digest. */
  readonly integrity: Map<string, string>;
  /** What else is in the file. */
  readonly rest: Readonly<Record<string, unknown>>;
}

/**
 * The path of the map: what `ABE_MQ_PLUGINS` names, else `plugins/import_map.json`.
 *
 * @returns An absolute path.
 * @throws {CliError} When the map is at a URL.
 */
export function mapPath(): string {
  const named = process.env["ABE_MQ_PLUGINS"] || "plugins/import_map.json";
  if (/^https?:/i.test(named)) throw new CliError("Cannot write the map: ABE_MQ_PLUGINS names a URL", exitCodes.usage);
  return resolve(named.replace(/^file:(\/\/)?/i, ""));
}

/**
 * Reads the map.
 *
 * @param path Its path.
 * @returns What it says; nothing when there is none.
 * @throws {ConfigError} When it is no map.
 */
export async function readMap(path: string): Promise<MapText> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return { imports: new Map(), integrity: new Map(), rest: {} };
    }
    throw error;
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ConfigError([`${path} is not JSON: ${errorText(error, false)}`], { cause: error });
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ConfigError([`${path} must be an import map: { "imports": { "NAME": "SPECIFIER" } }`]);
  }
  const { imports = {}, integrity = {}, ...rest } = json as Record<string, unknown>;
  return { imports: tableOf(imports), integrity: tableOf(integrity), rest };
}

function tableOf(value: unknown): Map<string, string> {
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
  return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

async function writeMap(path: string, { imports, integrity, rest }: MapText): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const map = {
    imports: Object.fromEntries(imports),
    ...(integrity.size > 0 && { integrity: Object.fromEntries(integrity) }),
    ...rest,
  };
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, `${JSON.stringify(map, undefined, 2)}\n`);
  await rename(temporary, path);
}

/**
 * Names a plugin in the map.
 *
 * @param path The map's path.
 * @param name The name.
 * @param specifier What it stands for; a digest behind `#` goes into `integrity`. A path is relative to the working directory.
 * @param force Whether to replace another one of that name.
 * @throws {CliError} When the name is taken.
 */
export async function addToMap(path: string, name: string, specifier: string, force: boolean): Promise<void> {
  const map = await readMap(path);
  const [bare, digest] = splitDigest(specifier);
  const target = /^\.{0,2}\//.test(bare) ? relativeTo(dirname(path), resolve(bare)) : bare;
  const before = map.imports.get(name);
  if (before !== undefined && before !== target && !force) {
    throw new CliError(`Cannot add ${name}: ${path} maps it to something else; --force replaces it`);
  }
  map.imports.set(name, target);
  if (digest !== undefined) map.integrity.set(target, digest);
  await writeMap(path, map);
}

/**
 * Writes the digest of a plugin into the map.
 *
 * @param path The map's path.
 * @param name Its name there.
 * @param pinned Its URL with the digest.
 */
export async function pinInMap(path: string, name: string, pinned: string): Promise<void> {
  const map = await readMap(path);
  const [bare, digest] = splitDigest(pinned);
  // A range of versions becomes the exact one, which is what has a digest.
  map.imports.set(name, bare);
  if (digest !== undefined) map.integrity.set(bare, digest);
  await writeMap(path, map);
}

function splitDigest(specifier: string): [bare: string, digest: string | undefined] {
  const at = /^https?:/i.test(specifier) ? specifier.indexOf("#") : -1;
  return at < 0 ? [specifier, undefined] : [specifier.slice(0, at), specifier.slice(at + 1)];
}

function relativeTo(folder: string, path: string): string {
  const way = relative(folder, path).replaceAll("\\", "/");
  return way.startsWith(".") ? way : `./${way}`;
}

/**
 * The name that a plugin's package suggests.
 *
 * @param specifier Such as `jsr:@acme/abe-mq-nats@^1`, `npm:abe-mq-nats`.
 * @returns Such as `nats`; `undefined` when it suggests none.
 */
export function nameFor(specifier: string): string | undefined {
  return /(?:^|[/:])abe-mq-([a-z0-9][\w.~-]*?)(?:@[^/]*)?(?:\/|$)/i.exec(specifier)?.[1];
}
