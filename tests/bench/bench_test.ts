import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { join } from "node:path";
import { root, run, runtimeCommand, thisRuntime } from "../process.ts";

const timeout = 120_000;

async function measure(task: Record<string, unknown>): Promise<Record<string, Record<string, number>>> {
  const args = [JSON.stringify({ backend: "memory", load: "200 B", url: "", ...task })];
  const { code, stdout, output } = await run(runtimeCommand(thisRuntime, join(root, "bench/child.ts"), { args }));
  assert.equal(code, 0, output);
  const [, json = ""] = /^RESULT (.*)$/m.exec(stdout) ?? [];
  return JSON.parse(json);
}

// Whether it measures, never how fast: that is for `deno task bench`.
describe("the benchmark", () => {
  for (const subject of ["hand-off, JSON", "backend", "consume", "subscribe 1", "subscribe 64"]) {
    it(`takes "${subject}" through every phase`, { timeout }, async () => {
      const result = await measure({ what: "throughput", subject, count: 1_000 });
      for (const phase of ["publish", "consume", "through"]) {
        const rate = result[phase]?.["rate"] ?? 0;
        assert.ok(Number.isFinite(rate) && rate > 0, `${phase}: ${JSON.stringify(result)}`);
      }
    });
  }

  it("measures latency", { timeout }, async () => {
    const { p50, p99 } = await measure({ what: "latency", subject: "subscribe 1", count: 5 });
    assert.ok(Number(p50) > 0 && Number(p99) >= Number(p50));
  });

  it("measures growth", { timeout }, async () => {
    const growth = { of: "backlog", to: 1_000 };
    const { publishUs, consumeUs } = await measure({ what: "growth", subject: "backend", growth, count: 3 });
    assert.ok(Number(publishUs) > 0 && Number(consumeUs) > 0);
  });
});
