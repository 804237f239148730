/**
 * The packages that ours is compared with. They are installed on demand, into a folder that git ignores: nothing else needs them.
 *
 * @module
 */

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { root } from "./runtimes.ts";

const folder = join(root, ".tools/bench");

/** Names and versions. `@fedify/redis` and `@fedify/sqlite` want a release of their own number, so npm is told not to insist. */
export const versions: Readonly<Record<string, string>> = {
  "bullmq": "6.7.0",
  "ioredis": "5",
  "@fedify/fedify": "1.8.8",
  "@fedify/redis": "1.8.7",
  "@fedify/sqlite": "2.0.0-dev.279",
  "fastq": "1.20.3",
  "plainjob": "0.0.14",
};

/** Fetches what is not there yet. */
export async function installPeers(): Promise<void> {
  const manifest = JSON.stringify({ private: true, type: "module", dependencies: versions }, undefined, 2);
  const stamp = join(folder, "installed.json");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === manifest) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), manifest);
  // Bare names resolve from the file that holds the import.
  writeFileSync(join(folder, "load.js"), "export const load = (name) => import(name);\n");
  const quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
  await promisify(execFile)("npm", ["install", "--legacy-peer-deps", ...quiet], { cwd: folder });
  writeFileSync(stamp, manifest);
}

/**
 * Loads a package that was installed.
 *
 * @param name Its name.
 * @returns Its exports; their types are the caller's word.
 */
export async function loadPeer<T>(name: string): Promise<T> {
  const { load } = await import(pathToFileURL(join(folder, "load.js")).href) as {
    load: (name: string) => Promise<unknown>;
  };
  return await load(name) as T;
}
