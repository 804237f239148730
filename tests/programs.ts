/**
 * The programs of brokers that tests start: from the PATH, or as the gate downloaded them.
 *
 * @module
 */

import { accessSync, constants, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { root } from "./process.ts";

/** A program and what it needs to run. */
export interface Program {
  /** Its path. */
  readonly command: string;
  /** Variables to start it with: where its shared libraries are. */
  readonly env: Readonly<Record<string, string>>;
}

/** Where the gate unpacks packages of the system, without installing them. */
export const unpackedFolder: string = join(root, ".tools/debian");

/**
 * Looks for a program.
 *
 * @param name Such as `redis-server`, `redis-cli`, `redis-benchmark`, `sqlite3`.
 * @returns Where it is; `undefined` when it is neither in the PATH nor downloaded, and what needs it is to be skipped by name.
 */
export function findProgram(name: string): Program | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const command = join(folder, name);
    if (folder !== "" && executable(command)) return { command, env: {} };
  }
  const command = join(unpackedFolder, "usr/bin", name);
  return executable(command) ? { command, env: { LD_LIBRARY_PATH: libraryFolders().join(delimiter) } } : undefined;
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // not there, or not ours to run
  }
}

// `usr/lib` and, for each architecture, `usr/lib/x86_64-linux-gnu` and the like.
function libraryFolders(): string[] {
  const folders = ["usr/lib", "lib"].map((folder) => join(unpackedFolder, folder));
  return folders.flatMap((folder) => {
    if (!executable(folder)) return [];
    const inside = readdirSync(folder).filter((name) => name.includes("-linux-gnu"));
    return [folder, ...inside.map((name) => join(folder, name))];
  });
}
