/**
 * `deno task bench:check A [B]`: compares two commits on the hot paths, in alternation. B is the working copy unless given.
 *
 * `--only=memory,sqlite,redis`, `--runtime=deno`, `--rounds=7`, `--count=N`.
 *
 * The benchmark itself is always the one of the working copy, so that both are measured by the same clock.
 *
 * @module
 */

import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Throughput } from "./measure.ts";
import { perform } from "./runner.ts";
import { output, root, type Runtime, startRedis } from "./runtimes.ts";
import { median, numbers, short } from "./stats.ts";
import type { BackendName } from "./subjects/mod.ts";

const { values, positionals: [before = "HEAD", after] } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string", default: "memory,sqlite,redis" },
    runtime: { type: "string", default: "deno" },
    rounds: { type: "string", default: "7" },
    count: { type: "string", default: "30000" },
  },
});

const subjects = ["backend", "consume", "subscribe 1", "subscribe 64"];
const phases = ["publish", "consume", "through"] as const;

/** A copy of a commit, with the working copy's benchmark and packages. */
async function checkOut(commit: string, folder: string): Promise<string> {
  const copy = join(folder, commit.replaceAll(/[^\w]/g, "_"));
  await output(["git", "worktree", "add", "--detach", "--quiet", copy, commit]);
  rmSync(join(copy, "bench"), { recursive: true, force: true });
  cpSync(join(root, "bench"), join(copy, "bench"), { recursive: true });
  for (const shared of ["node_modules", "deno.offline.json"]) {
    if (existsSync(join(root, shared))) symlinkSync(join(root, shared), join(copy, shared));
  }
  return copy;
}

function show(subject: string, pairs: readonly (readonly [Throughput, Throughput])[]): void {
  const cells = phases.flatMap((phase) => {
    // Each pair ran side by side, so what disturbed one disturbed the other.
    const rate = numbers(pairs, ([a, b]) => a[phase] && b[phase] && b[phase].rate / a[phase].rate);
    const cpu = numbers(pairs, ([a, b]) => a[phase] && b[phase] && b[phase].cpuUs / a[phase].cpuUs);
    const now = median(numbers(pairs, ([, b]) => b[phase]?.rate));
    const us = median(numbers(pairs, ([, b]) => b[phase]?.cpuUs));
    return [`${phase} ×${median(rate).toFixed(2)} (${short(now)}/s), CPU ×${median(cpu).toFixed(2)} (${short(us)} µs)`];
  });
  console.log(`${subject.padEnd(20)} ${cells.join("; ")}`);
}

const folder = mkdtempSync(join(tmpdir(), "abe-mq-bench-"));
await using server = await startRedis();
try {
  const a = await checkOut(before, folder);
  const b = after === undefined ? root : await checkOut(after, folder);
  console.log(`${after ?? "the working copy"} over ${before}, on ${values.runtime}, ${values.rounds} rounds:`);
  for (const backend of values.only.split(",") as BackendName[]) {
    for (const subject of subjects) {
      const pairs: [Throughput, Throughput][] = [];
      for (let round = 0; round < Number(values.rounds); round++) {
        const task = { what: "throughput", backend, subject, load: "200 B", url: server.url } as const;
        const run = async (copy: string) => {
          const result = await perform<Throughput>(values.runtime as Runtime, {
            ...task,
            count: Number(values.count),
          }, copy);
          if (backend === "redis") await server.flush();
          return result;
        };
        // Whoever is first changes, as the machine may be warmer for the second.
        if (round % 2 === 0) {
          const first = await run(a);
          pairs.push([first, await run(b)]);
        } else {
          const first = await run(b);
          pairs.push([await run(a), first]);
        }
      }
      show(`${backend} ${subject}`, pairs);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
  await output(["git", "worktree", "prune"]);
}
