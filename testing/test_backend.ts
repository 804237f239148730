/**
 * The kit as tests of the runtime at hand: `deno test`, `bun test` and `node --test` run the same file.
 *
 * @module
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CaseResult, Harness } from "./harness.ts";
import { formatReport } from "./report.ts";
import { caseTimeoutMs, planCases, runCase } from "./run.ts";

/**
 * Defines a test for each case that applies to the backend, and one at the end that prints the table.
 *
 * @param harness What to test, and how.
 * @throws {TypeError} When `skip` or `only` names no case.
 */
export function testBackend(harness: Harness): void {
  const plans = planCases(harness);
  const results: CaseResult[] = [];
  // Above the case's own limit and that of closing what it opened, so that it is the case that says what took so long.
  const timeout = caseTimeoutMs(harness) + 3 * (harness.deadlineMs ?? 30_000);
  // `void`: the runtimes' types make a promise of it, which nobody needs to await.
  void describe(`Conformance of ${harness.name}`, () => {
    for (const plan of plans) {
      if (plan.not?.outcome === "not applicable") continue;
      const { name, promise } = plan.case;
      const title = plan.not === undefined ? name : `${name} (SKIPPED: ${plan.not.reason})`;
      void it(`${promise}: ${title}`, { timeout, skip: plan.not !== undefined }, async () => {
        const result = await runCase(harness, plan);
        results.push(result);
        if (result.outcome !== "failed") return;
        for (const line of result.logged ?? []) console.log(line);
        throw result.error;
      });
    }
    void it("report", { timeout }, async () => {
      for (const plan of plans) if (plan.not !== undefined) results.push(await runCase(harness, plan));
      const passed = results.every((each) => each.outcome !== "failed");
      console.log(formatReport({ name: harness.name, passed, results }));
      assert.ok(passed, "Cases failed; the table above names them");
    });
  });
}
