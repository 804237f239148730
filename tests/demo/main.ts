/**
 * `deno task demo`: serves a backend on loopback, starts an application that loads it from there, feeds it real webhook payloads, and gives an
 * account of what went where. Exits with 1 when a single payload is missing or differs.
 *
 * `--runtime deno|bun|node` chooses the application's runtime, `--backend NAME` a built-in backend instead of the URL.
 *
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { prepare } from "../gate/prepare.ts";
import { type Runtime, runtimes } from "../process.ts";
import { runDemo } from "./demo.ts";

const { values } = parseArgs({
  options: { runtime: { type: "string", default: "bun" }, backend: { type: "string" }, prepared: { type: "boolean" } },
});
const runtime = runtimes.find((each) => each === values.runtime);
if (runtime === undefined) {
  console.error(`Cannot use "${values.runtime}" as --runtime: it is one of ${runtimes.join(", ")}`);
  process.exit(2);
}
if (!values.prepared) await prepare();
const account = await runDemo(runtime as Runtime, { backend: values.backend });
console.log(account.lines.join("\n"));
process.exit(account.ok ? 0 : 1);
