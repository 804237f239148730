/**
 * Finding an installed package from the application's folder.
 *
 * `createRequire` knows only what CommonJS may load, and `import.meta.resolve` starts at our own file, so this follows the algorithm
 * of Node's documentation ("Resolution Algorithm Specification", https://nodejs.org/api/esm.html#resolution-algorithm-specification).
 *
 * @module
 */

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { runtime } from "../core/runtime.ts";
import { isAbsent, readText } from "./files.ts";

const conditions: ReadonlySet<string> = new Set([runtime, "node", "import", "module-sync", "default"]);

/** A bare specifier, in parts. */
export interface PackageSpecifier {
  /** The package's name. */
  readonly name: string;
  /** The version or range, if it was given. */
  readonly range?: string;
  /** `.` or `./` and what follows. */
  readonly subpath: string;
}

/**
 * Takes a bare or `npm:` specifier apart.
 *
 * @param specifier Such as `zod`, `npm:zod@^4/mini` or `@scope/name/sub`.
 * @returns Its parts; `undefined` when it is none.
 */
export function parsePackageSpecifier(specifier: string): PackageSpecifier | undefined {
  const match = /^(?:npm:\/?)?((?:@[\w.~-]+\/)?[\w.~-]+)(?:@([^/]*))?(\/.*)?$/.exec(specifier);
  const name = match?.[1];
  if (match === null || name === undefined || /^\.+$/.test(name) || name === "node_modules") return undefined;
  const [, , range, rest] = match;
  return {
    name,
    ...(range !== undefined && range !== "" && { range }),
    subpath: rest === undefined ? "." : `.${rest}`,
  };
}

/**
 * Finds what a package's name stands for.
 *
 * @param specifier The package and the part of it.
 * @param from The application's folder.
 * @returns The module's `file:` URL; `undefined` when the package is not installed there.
 * @throws {TypeError} When the package is there and exports no such part.
 */
export async function resolvePackage(specifier: PackageSpecifier, from: URL): Promise<string | undefined> {
  const { name, subpath } = specifier;
  if (from.protocol !== "file:") return undefined;
  for (let folder = from;;) {
    const home = new URL(`node_modules/${name}/`, folder);
    const manifest = await readText(new URL("package.json", home));
    if ("text" in manifest) return (await insidePackage(JSON.parse(manifest.text), home, name, subpath)).href;
    const parent = new URL("../", folder);
    if (parent.href === folder.href) break;
    folder = parent;
  }
  return viaRequire(subpath === "." ? name : `${name}${subpath.slice(1)}`, from);
}

// Package managers without a `node_modules` folder (Yarn's Plug'n'Play) hook into `require`.
function viaRequire(name: string, from: URL): string | undefined {
  if (runtime === "deno") return undefined;
  try {
    return pathToFileURL(createRequire(from).resolve(name)).href;
  } catch (error) {
    if ((error as { code?: unknown }).code === undefined && !(error instanceof Error)) throw error;
    return undefined;
  }
}

async function insidePackage(manifest: unknown, home: URL, name: string, subpath: string): Promise<URL> {
  const { exports, main, module } = manifest as Record<string, unknown>;
  if (exports !== undefined && exports !== null) {
    const target = resolveExports(exports, subpath);
    if (target === undefined) {
      throw new TypeError(`The package ${name} is installed, but exports no ${JSON.stringify(subpath)} for import`);
    }
    const url = new URL(target, home);
    if (!url.href.startsWith(home.href)) throw new TypeError(`The package ${name} exports a file outside of itself`);
    return url;
  }
  if (subpath !== ".") return new URL(subpath, home);
  const entry = runtime === "bun" && typeof module === "string" ? module : main;
  if (typeof entry !== "string") return new URL("index.js", home);
  for (const candidate of [entry, `${entry}.js`, `${entry}/index.js`]) {
    const url = new URL(candidate, home);
    if (/\.[cm]?[jt]s$/.test(url.pathname) && !await isAbsent(url)) return url;
  }
  return new URL(entry, home);
}

/**
 * Looks a part of a package up in the `exports` of its `package.json`.
 *
 * @param exports The member's value.
 * @param subpath `.` or `./` and what follows.
 * @returns The file's path within the package; `undefined` when nothing is exported by that name under our conditions.
 */
export function resolveExports(exports: unknown, subpath: string): string | undefined {
  const isMap = typeof exports === "object" && exports !== null && !Array.isArray(exports) &&
    Object.keys(exports).some((key) => key.startsWith("."));
  if (!isMap) return subpath === "." ? target(exports, "") : undefined;
  const map = exports as Record<string, unknown>;
  if (Object.hasOwn(map, subpath) && !subpath.includes("*")) return target(map[subpath], "");
  // The longest pattern wins.
  const patterns = Object.keys(map).filter((key) => key.includes("*")).sort((a, b) => b.indexOf("*") - a.indexOf("*"));
  for (const pattern of patterns) {
    const at = pattern.indexOf("*");
    const [head, tail] = [pattern.slice(0, at), pattern.slice(at + 1)];
    if (subpath.startsWith(head) && subpath.endsWith(tail) && subpath.length >= pattern.length) {
      return target(map[pattern], subpath.slice(head.length, subpath.length - tail.length));
    }
  }
  return undefined;
}

function target(value: unknown, star: string): string | undefined {
  if (typeof value === "string") {
    const path = value.replaceAll("*", star);
    return path.startsWith("./") && !/(?:^|[\\/])(?:\.\.|node_modules)(?:[\\/]|$)/.test(path.slice(2))
      ? path
      : undefined;
  }
  if (Array.isArray(value)) {
    for (const each of value) {
      const found = target(each, star);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  for (const [condition, each] of Object.entries(value)) {
    if (!conditions.has(condition)) continue;
    const found = target(each, star);
    if (found !== undefined) return found;
  }
  return undefined;
}
