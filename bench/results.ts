/**
 * The raw results, and the machine they come from.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import { cpus, totalmem } from "node:os";
import type { Idle } from "./measure.ts";
import { versions as peers } from "./peers.ts";
import type { CostRow, GrowthRow, ProcessRow, Row } from "./runner.ts";
import { command, findProgram, root, type Runtime } from "./runtimes.ts";
import type { Startup } from "./startup.ts";

/** The machine and what runs on it. */
export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryGb: number;
  readonly versions: readonly string[];
}

/** Everything that was measured in one run. */
export interface Results {
  readonly date: string;
  readonly commit: string;
  readonly command: string;
  readonly rounds: number;
  readonly machine: Machine;
  readonly rows: Row[];
  readonly growth: GrowthRow[];
  readonly processes: ProcessRow[];
  readonly startup: CostRow<Startup>[];
  readonly idle: CostRow<Idle>[];
}

/** Looks at the machine. */
export function describeMachine(runtimes: readonly Runtime[]): Machine {
  const version = (program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    execFileSync(program, args, { encoding: "utf8", env: { ...env } }).match(/\d+\.\d+\.\d+/)?.[0] ?? "?";
  const redis = findProgram("redis-server");
  return {
    cpu: cpus()[0]?.model ?? "unknown processor",
    cpus: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    versions: [
      ...runtimes.map((runtime) => `${runtime} ${version(command(runtime, "")[0], ["--version"])}`),
      ...(redis === undefined ? [] : [`redis-server ${version(redis.path, ["--version"], redis.env)}`]),
      ...Object.entries(peers).map(([name, number]) => `${name} ${number}`),
    ],
  };
}

/** The commit that is checked out, and whether files differ from it. */
export function describeCommit(): string {
  const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
  const changed = git("status", "--porcelain", "--untracked-files=no", "--", "core", "backends") !== "";
  return git("rev-parse", "--short", "HEAD") + (changed ? " with changes" : "");
}
