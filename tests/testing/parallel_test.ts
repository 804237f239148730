import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryBackend } from "../../backends/memory.ts";
import { formatReport, type Harness, runConformance } from "../../testing/mod.ts";
import { open } from "./memory_visitor.ts";

const timeout = 300_000;

const memory: Harness = {
  name: "memory",
  open,
  openBounded: (exchange, settings) => Promise.resolve(new MemoryBackend({ store: exchange, ...settings })),
  capabilities: new MemoryBackend().capabilities,
};

void describe("The kit", () => {
  void it("passes ten times in parallel", { timeout }, async () => {
    const harness: Harness = {
      ...memory,
      scale: 0.1,
      deadlineMs: 60_000,
      leaseMs: 2_000,
      skip: {
        "a handler that keeps the event loop busy for part of the lease does not lose it":
          "ten such handlers in one process keep it busy for longer than all leases",
      },
    };
    const reports = await Promise.all(Array.from({ length: 10 }, () => runConformance(harness)));
    for (const report of reports) assert.equal(report.passed, true, formatReport(report));
  });

  void it("sees that a process that has disposed its queue ends by itself", { timeout }, async () => {
    const child = new URL("./memory_visitor.ts", import.meta.url).href;
    const only = ["a disposed queue leaves nothing that keeps the process alive"];
    const report = await runConformance({ ...memory, child, only });
    assert.deepEqual(report.results.map(({ outcome }) => outcome), ["passed"], formatReport(report));
  });

  void it("catches a backend whose process does not end by itself", { timeout }, async () => {
    const child = new URL("./lingering_visitor.ts", import.meta.url).href;
    const only = ["a disposed queue leaves nothing that keeps the process alive"];
    const report = await runConformance({ ...memory, child, only, deadlineMs: 5_000 });
    assert.deepEqual(report.results.map(({ outcome }) => outcome), ["failed"], formatReport(report));
  });
});
