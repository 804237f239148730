/**
 * Running cases: which apply, one after the other, each with its own exchange and its own end.
 *
 * @module
 */

import type { MessageQueueBackend } from "../mod.ts";
import { allCases } from "./cases/all.ts";
import { CaseContext } from "./context.ts";
import type { ConformanceCase } from "./case.ts";
import type { CaseResult, Harness, Need, Report } from "./harness.ts";
import { within } from "./wait.ts";

/** A case and whether it is to be run. */
export interface Plan {
  /** The case. */
  readonly case: ConformanceCase;
  /** Why it is not run, if it is not. */
  readonly not?: { readonly outcome: "skipped" | "not applicable"; readonly reason: string };
}

/**
 * Decides which cases are run.
 *
 * @param harness What the kit was told about the backend.
 * @returns Every case, in order of the promises. A case that another one stands in for (a capability that is not declared has cases of
 *   its own, which assert the refusal) is left out.
 * @throws {TypeError} When `skip` or `only` names no case.
 */
export function planCases(harness: Harness): Plan[] {
  const names = new Set(allCases.map((each) => each.name));
  for (const name of [...Object.keys(harness.skip ?? {}), ...(harness.only ?? [])]) {
    if (!names.has(name)) throw new TypeError(`Cannot find a case named ${JSON.stringify(name)}`);
  }
  const plans: Plan[] = [];
  for (const each of allCases) {
    if (harness.only !== undefined && !harness.only.includes(each.name)) continue;
    if (each.lacks !== undefined && has(harness, each.lacks)) continue;
    const missing = each.needs?.find((need) => !has(harness, need));
    const reason = harness.skip?.[each.name];
    if (missing !== undefined) {
      plans.push({ case: each, not: { outcome: "not applicable", reason: `no ${missing}` } });
    } else if (reason !== undefined) {
      plans.push({ case: each, not: { outcome: "skipped", reason } });
    } else {
      plans.push({ case: each });
    }
  }
  return plans;
}

function has(harness: Harness, need: Need): boolean {
  switch (need) {
    case "restart":
    case "openBounded":
    case "child":
    case "environment":
      return harness[need] !== undefined;
    case "receive":
      return !(harness.plain ?? harness.capabilities.leases !== true);
    default:
      return harness.capabilities[need] === true;
  }
}

/**
 * Runs one case.
 *
 * @param harness What the kit was told about the backend.
 * @param plan The case.
 * @returns What became of it; a failure is in it, not thrown.
 */
export async function runCase(harness: Harness, plan: Plan): Promise<CaseResult> {
  const { name, promise, how = "native", run } = plan.case;
  if (plan.not !== undefined) return { name, promise, how, durationMs: 0, ...plan.not };
  const start = performance.now();
  const context = new CaseContext(harness, `kit-${crypto.randomUUID()}`);
  const failures: unknown[] = [];
  try {
    await within(
      (async () => {
        await context.start();
        await run(context);
      })(),
      `the case "${name}"`,
      caseTimeoutMs(harness),
    );
  } catch (error) {
    failures.push(error);
  }
  try {
    await context.end();
  } catch (error) {
    failures.push(error);
  }
  const durationMs = performance.now() - start;
  if (failures.length === 0) return { name, promise, how, outcome: "passed", durationMs };
  return { name, promise, how, outcome: "failed", error: failures[0], logged: context.logged, durationMs };
}

/**
 * How long a case may take in all: it waits for several things, one after the other, and each may be late.
 *
 * @param harness What the kit was told about the backend.
 * @returns Milliseconds.
 */
export function caseTimeoutMs(harness: Harness): number {
  return 2 * (harness.deadlineMs ?? 30_000);
}

/**
 * Runs the cases without a test runner.
 *
 * @param harness What to test, and how.
 * @returns What became of each case; see {@linkcode formatReport}.
 * @throws {TypeError} When `skip` or `only` names no case.
 *
 * @example
 * ```ts
 * import { runConformance } from "@abe/mq/testing";
 * import { MemoryBackend } from "@abe/mq/memory";
 *
 * const report = await runConformance({
 *   name: "memory",
 *   open: (exchange) => Promise.resolve(new MemoryBackend({ store: exchange })),
 *   capabilities: new MemoryBackend().capabilities,
 *   only: ["what is published before the first consumer is delivered"],
 * });
 * console.assert(report.passed);
 * ```
 */
export async function runConformance(harness: Harness): Promise<Report> {
  const results: CaseResult[] = [];
  for (const plan of planCases(harness)) results.push(await runCase(harness, plan));
  return { name: harness.name, passed: results.every((each) => each.outcome !== "failed"), results };
}

/** Opens an instance over the store of an exchange; what a worker's module exports. */
export type Open = (exchange: string) => Promise<MessageQueueBackend>;
