import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { thisRuntime } from "../../process.ts";
import { inFolder } from "./helpers.ts";
import { type KillCounts, runKills } from "./kill.ts";

const rounds = 50;

function check(counts: KillCounts): void {
  console.log(`sqlite under SIGKILL: ${JSON.stringify(counts)}`);
  assert.equal(counts.lost, 0);
  assert.equal(counts.revived, 0);
  assert.ok(counts.kills > rounds && counts.confirmed > rounds && counts.acked > rounds, "there was traffic");
}

describe("SIGKILL of publishers and consumers of a SQLite queue", () => {
  it("loses nothing that was confirmed, and damages nothing", { timeout: 300_000 }, () =>
    inFolder(async (folder) => {
      // A seed that differs from run to run finds more; it is printed, to run it again.
      const seed = Date.now() % 1_000_000;
      console.log(`seed ${seed}`);
      check(await runKills({ file: folder.file, rounds, seed, runtimes: [thisRuntime], synchronous: "FULL" }));
    }));
});
