/**
 * All candidates. What a process does not measure it does not load.
 *
 * @module
 */

import type { DurableBackend } from "../../core/backend.ts";
import type { Candidate, Setting } from "../work.ts";

/** The backends that have a ladder. */
export type BackendName = "memory" | "sqlite" | "redis";

/** A candidate by name. */
export async function candidate(backend: BackendName, name: string): Promise<Candidate> {
  const candidates = backend === "memory"
    ? (await import("./memory.ts")).memory
    : backend === "sqlite"
    ? (await import("./sqlite.ts")).sqlite
    : (await import("./redis.ts")).redis;
  const found = candidates[name];
  if (found === undefined) throw new Error(`There is no ${name} among ${Object.keys(candidates).join(", ")}`);
  return found;
}

/** What makes one of our backends. */
export async function opener(backend: BackendName): Promise<(setting: Setting) => DurableBackend> {
  if (backend === "memory") return (await import("./memory.ts")).openMemory;
  if (backend === "sqlite") return (await import("./sqlite.ts")).openSqlite;
  return (await import("./redis.ts")).openRedis;
}
