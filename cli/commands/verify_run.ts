/**
 * Running the conformance kit on any backend.
 *
 * @module
 */

import type { Env, MessageQueueBackend } from "@abe/mq";
import { getMessageQueueBackend, processEnv, silentLogger } from "@abe/mq";
import { MemoryBackend } from "@abe/mq/memory";
import { type CaseResult, formatReport, type Harness, planCases, type Report, runCase } from "@abe/mq/testing";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type Cli, discoveryOptions } from "../context.ts";
import { CliError, errorText, exitCodes } from "../exit.ts";
import { targetVariable, verifyChildUrl } from "../verify_child.ts";
import type { VerifyFlags } from "./verify.ts";

/** Runs `mq verify`. */
export async function runVerify(this: Cli, flags: VerifyFlags, target?: string): Promise<void> {
  using _place = temporaryFile(target);
  const harness = await harnessOf(this, flags, target);
  const plans = planCases(harness).filter(({ case: { name } }) => name.includes(flags.only ?? ""));
  if (plans.length === 0) {
    throw new CliError(`Cannot find a case whose name holds ${JSON.stringify(flags.only)}`, exitCodes.usage);
  }
  const isTerminal = process.stderr.isTTY === true && !flags.json;
  const results: CaseResult[] = [];
  for (const [i, plan] of plans.entries()) {
    if (isTerminal) process.stderr.write(`\r${i + 1}/${plans.length} ${plan.case.name.slice(0, 68)}\x1b[K`);
    results.push(await runCase(harness, plan));
  }
  if (isTerminal) process.stderr.write("\r\x1b[K");
  const report: Report = { name: harness.name, passed: results.every((each) => each.outcome !== "failed"), results };
  if (flags.json) {
    const plain = results.map((each) => ({
      ...each,
      ...(each.error !== undefined && { error: errorText(each.error, flags.debug) }),
    }));
    this.printJson({ ...report, results: plain });
  } else this.print(formatReport(report));
  if (!report.passed) this.exitCode = exitCodes.findings;
}

/** Variables on top of those of the process. */
function overlay(variables: Readonly<Record<string, string>>): Env {
  return {
    get: (name) => variables[name] ?? processEnv.get(name),
    getOptional: (name) => variables[name] ?? processEnv.getOptional(name),
  };
}

async function harnessOf(cli: Cli, flags: VerifyFlags, target: string | undefined): Promise<Harness> {
  // In memory two instances meet by the store's name alone.
  if (target === "memory") {
    return {
      name: target,
      open: (exchange) => Promise.resolve(new MemoryBackend({ store: exchange })),
      openBounded: (exchange, settings) => Promise.resolve(new MemoryBackend({ store: exchange, ...settings })),
      capabilities: new MemoryBackend().capabilities,
      environment: { module: MemoryBackend, wrong: {} },
    };
  }
  const discovery = {
    ...discoveryOptions(cli, { debug: flags.debug }),
    ...(target !== undefined && { backend: target }),
  };
  const make = (variables: Readonly<Record<string, string>>, logger = silentLogger): Promise<MessageQueueBackend> =>
    getMessageQueueBackend({ ...discovery, logger, env: overlay(variables) });
  // The first one says what is wrong with its module or its settings.
  const first = await make({ MESSAGE_QUEUE_EXCHANGE: "kit-probe" }, discovery.logger);
  const { capabilities = {}, receive } = first;
  await first[Symbol.asyncDispose]?.();
  if (target !== undefined) process.env[targetVariable] = target;
  return {
    name: target ?? "the configured backend",
    open: (exchange) => make({ MESSAGE_QUEUE_EXCHANGE: exchange }),
    capabilities,
    plain: receive === undefined,
    ...(capabilities.durable && receive !== undefined &&
      { child: verifyChildUrl }),
    ...(capabilities.retention && {
      openBounded: (exchange, { maxLength, maxAgeMs }) =>
        make({
          MESSAGE_QUEUE_EXCHANGE: exchange,
          ...(maxLength !== undefined && { MESSAGE_QUEUE_MAX_LENGTH: `${maxLength}` }),
          ...(maxAgeMs !== undefined && { MESSAGE_QUEUE_MAX_AGE_MS: `${maxAgeMs}` }),
        }),
    }),
  };
}

// The default file may be that of an application.
function temporaryFile(target: string | undefined): Disposable {
  const name = target ?? process.env["MESSAGE_QUEUE_BACKEND"];
  const isNamed = process.env["MESSAGE_QUEUE_URL"] || process.env["MESSAGE_QUEUE_PATH"];
  if (name !== "sqlite" || isNamed) return { [Symbol.dispose]: () => {} };
  const folder = mkdtempSync(join(tmpdir(), "abe-mq-verify-"));
  // Consumers in processes of their own must find it, too.
  process.env["MESSAGE_QUEUE_PATH"] = join(folder, "verify.db");
  return { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
