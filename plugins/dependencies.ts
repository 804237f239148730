/**
 * The application's direct dependencies that are plugins: packages named `abe-mq-NAME` or `@scope/abe-mq-NAME`.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { ConfigError, describeError } from "../core/errors.ts";
import { runtime } from "../core/runtime.ts";
import { readText, stripJsonComments } from "./files.ts";
import { resolveFrom } from "./import_map.ts";

/** A dependency that is a plugin. */
export interface Dependency {
  /** What follows `abe-mq-` in its name. */
  readonly name: string;
  /** The name of the package. */
  readonly packageName: string;
  /** What to import: the package's name, or what `deno.json` maps it to. */
  readonly specifier: string;
  /** The file that lists it. */
  readonly file: string;
}

/** What was found. */
export interface Dependencies {
  /** Those that are plugins. */
  readonly plugins: readonly Dependency[];
  /** The files that were read. */
  readonly files: readonly string[];
  /** Whether Deno may not read them. */
  readonly denied: boolean;
}

const pluginName = /^(?:@[\w.~-]+\/)?abe-mq-([\w.~-]+)$/;
const fileNames = runtime === "deno" ? ["deno.json", "deno.jsonc", "package.json"] : ["package.json"];

/**
 * Reads the nearest `package.json`, and on Deno `deno.json`, at or above a folder.
 *
 * @param from The folder.
 * @returns The plugins among the dependencies.
 * @throws {ConfigError} When such a file is not JSON.
 */
export async function findDependencies(from: URL): Promise<Dependencies> {
  const files: string[] = [];
  const plugins: Dependency[] = [];
  if (from.protocol !== "file:") return { plugins, files, denied: false };
  for (let folder = from;;) {
    for (const fileName of fileNames) {
      const url = new URL(fileName, folder);
      const reading = await readText(url);
      if ("denied" in reading) return { plugins, files, denied: true };
      if ("missing" in reading) continue;
      const file = fileURLToPath(url);
      files.push(file);
      for (const [packageName, specifier] of listed(parse(reading.text, file), fileName === "package.json", url)) {
        const name = pluginName.exec(packageName)?.[1];
        // Both files of one folder may list a package; the first counts.
        if (name === undefined || plugins.some((plugin) => plugin.packageName === packageName)) continue;
        plugins.push({ name, packageName, specifier, file });
      }
    }
    const parent = new URL("../", folder);
    if (files.length > 0 || parent.href === folder.href) return { plugins, files, denied: false };
    folder = parent;
  }
}

function parse(text: string, file: string): unknown {
  try {
    return JSON.parse(stripJsonComments(text));
  } catch (error) {
    throw new ConfigError([`${file} is not JSON: ${describeError(error)}`], { cause: error });
  }
}

function* listed(json: unknown, isPackage: boolean, url: URL): Generator<[string, string]> {
  if (typeof json !== "object" || json === null) return;
  const members = isPackage ? ["dependencies", "optionalDependencies"] : ["imports"];
  for (const member of members) {
    const table = (json as Record<string, unknown>)[member];
    if (typeof table !== "object" || table === null) continue;
    for (const [name, value] of Object.entries(table)) {
      if (typeof value === "string") yield [name, isPackage ? name : resolveFrom(value, url)];
    }
  }
}
