/**
 * The files of the repository.
 *
 * @module
 */

import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { root } from "../process.ts";

/**
 * The files whose name ends so, without what is downloaded or generated (folders that start with a dot, and `node_modules`).
 *
 * @param end How the name ends.
 * @param under Folders or files, relative to the repository; those that do not exist are passed over.
 * @returns Their paths, relative to the repository, sorted.
 */
export function filesUnder(end: string, under: readonly string[] = ["."]): string[] {
  const found: string[] = [];
  const walk = (path: string) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
      const child = join(path, entry.name);
      if (entry.isDirectory()) walk(child);
      else if (entry.name.endsWith(end)) found.push(relative(root, child));
    }
  };
  const top = readdirSync(root, { withFileTypes: true });
  for (const name of under) {
    if (name === ".") walk(root);
    const entry = top.find((each) => each.name === name);
    if (entry?.isDirectory()) walk(join(root, name));
    else if (entry !== undefined && name.endsWith(end)) found.push(name);
  }
  return found.sort();
}
