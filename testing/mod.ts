/**
 * The conformance kit: one suite of small cases that holds every backend to what it declares.
 *
 * @example A whole test file; run it with `deno test -A`, `bun test` or `node --test`
 * ```ts ignore
 * import { testBackend } from "@abe/mq/testing";
 * import LineBackend from "./line_backend.ts";
 *
 * testBackend({
 *   name: "line",
 *   open: (exchange) => Promise.resolve(new LineBackend(exchange)),
 *   capabilities: { groups: true },
 * });
 * ```
 *
 * @module
 */

export { testBackend } from "./test_backend.ts";
export { planCases, runCase, runConformance } from "./run.ts";
export type { Open, Plan } from "./run.ts";
export { formatReport } from "./report.ts";
export { promises } from "./harness.ts";
export type { ConformanceCase } from "./case.ts";
export type { CaseResult, Harness, HarnessEnvironment, How, Need, Report, StoreSettings } from "./harness.ts";
export { CaseContext } from "./context.ts";
export type { OpenOptions, TakeOptions } from "./context.ts";
export { allCases } from "./cases/all.ts";
export type { Handed, KitPayload, WorkerTask } from "./worker.ts";
export type { Worker } from "./workers.ts";
