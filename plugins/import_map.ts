/**
 * Import maps that name backends: reading and checking them.
 *
 * The format is that of the web's import maps (https://html.spec.whatwg.org/multipage/webappapis.html#import-maps):
 * `imports` maps a name to a specifier, `integrity` maps a URL to its digest. `scopes` means nothing here.
 *
 * @module
 */

import { ConfigError } from "../core/errors.ts";
import { quoteName } from "./suggest.ts";

/** A map as read. */
export interface ImportMap {
  /** Name to specifier; a relative one is resolved against the map's own URL. */
  readonly imports: ReadonlyMap<string, string>;
  /** URL to digest. */
  readonly integrity: ReadonlyMap<string, string>;
}

/** The largest map, in characters: what a person writes is far below it. */
export const maxMapLength = 1_048_576;

/**
 * Reads an import map.
 *
 * @param text The map's text.
 * @param base Where it was found: relative specifiers are resolved against it.
 * @param where How it is named in messages.
 * @returns The map.
 * @throws {ConfigError} Naming every entry that is wrong.
 */
export function parseImportMap(text: string, base: URL, where: string): ImportMap {
  if (text.length > maxMapLength) throw new ConfigError([`${where} is larger than ${maxMapLength} characters`]);
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new ConfigError([`${where} is not JSON: ${error instanceof Error ? error.message : String(error)}`], {
      cause: error,
    });
  }
  const problems: string[] = [];
  if (!isObject(json)) {
    throw new ConfigError([`${where} must be an import map: { "imports": { "NAME": "SPECIFIER" } }`]);
  }
  const imports = table(json, "imports", where, problems);
  const integrity = table(json, "integrity", where, problems);
  const resolved = new Map<string, string>();
  for (const [name, specifier] of imports) {
    // A key that ends in a slash maps a whole folder, which is no backend.
    if (name.endsWith("/")) continue;
    if (isRelative(specifier) && !URL.canParse(specifier, base)) {
      problems.push(`${where}: ${quoteName(name)} maps to what is no path`);
    } else if (name === "" || specifier === "") problems.push(`${where}: ${quoteName(name)} maps to nothing`);
    else resolved.set(name, resolveFrom(specifier, base));
  }
  const digests = new Map<string, string>();
  for (const [url, digest] of integrity) {
    if (isRelative(url) && !URL.canParse(url, base)) {
      problems.push(`${where}: ${quoteName(url)} in integrity is no URL`);
    } else digests.set(resolveFrom(url, base), digest);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { imports: resolved, integrity: digests };
}

// Maps, not objects: a name such as `__proto__` or `constructor` is then a name like any other.
function table(json: object, member: string, where: string, problems: string[]): Map<string, string> {
  const entries = new Map<string, string>();
  const value: unknown = Object.hasOwn(json, member) ? (json as Record<string, unknown>)[member] : undefined;
  if (value === undefined) return entries;
  if (!isObject(value)) {
    problems.push(`${where}: ${member} must be an object`);
    return entries;
  }
  for (const [name, specifier] of Object.entries(value)) {
    if (typeof specifier === "string") entries.set(name, specifier);
    else problems.push(`${where}: ${quoteName(name)} in ${member} must be a string`);
  }
  return entries;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Makes a relative specifier absolute; others stay as they are.
 *
 * @param specifier A specifier.
 * @param base What it is relative to.
 * @returns A URL or a bare name.
 */
export function resolveFrom(specifier: string, base: URL): string {
  return isRelative(specifier) ? new URL(specifier, base).href : specifier;
}

function isRelative(specifier: string): boolean {
  return /^(?:\.{0,2}\/|\.\.?$)/.test(specifier);
}

/**
 * Whether a text is a specifier (a URL or a path) and not a name.
 *
 * @param text What was given.
 * @returns Whether it says where to load from by itself.
 */
export function isSpecifier(text: string): boolean {
  return /^(?:[a-z][a-z0-9+.-]*:|\.{1,2}\/|\/)/i.test(text);
}
