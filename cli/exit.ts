/**
 * How the command line ends: exit codes, and errors as one line.
 *
 * @module
 */

import { describeError, MessageQueueError, type MessageQueueErrorCode } from "@abe/mq";
import { ExitCode } from "@stricli/core";

/** The exit codes, as the documentation lists them. */
export const exitCodes = {
  /** All went well. Also when a consumer was interrupted, or its reader went away: that is how it ends. */
  done: 0,
  /** The command failed. */
  failed: 1,
  /** The command, a flag or an argument is wrong. */
  usage: 2,
  /** The backend cannot be found, loaded or configured. */
  backend: 3,
  /** The broker does not answer. */
  connection: 4,
  /** What was checked is not as it should be, or fewer messages came than `--count` wants. */
  findings: 5,
  /** Interrupted before it was done. */
  interrupted: 130,
} as const;

/** An exit code. */
export type ExitCodeNumber = (typeof exitCodes)[keyof typeof exitCodes];

/** An error that says with which code to exit. */
export class CliError extends Error {
  /** The exit code. */
  readonly exitCode: ExitCodeNumber;

  /**
   * @param message What failed and what would mend it.
   * @param exitCode The exit code.
   * @param options The cause.
   */
  constructor(message: string, exitCode: ExitCodeNumber = exitCodes.failed, options?: ErrorOptions) {
    super(message, options);
    this.name = "CliError";
    this.exitCode = exitCode;
  }
}

const byCode: Partial<Record<MessageQueueErrorCode, ExitCodeNumber>> = {
  config: exitCodes.backend,
  plugin_ambiguous: exitCodes.backend,
  plugin_failed: exitCodes.backend,
  plugin_invalid: exitCodes.backend,
  plugin_not_found: exitCodes.backend,
  plugin_refused: exitCodes.backend,
  connection: exitCodes.connection,
  publish_timeout: exitCodes.connection,
  timeout: exitCodes.connection,
};

/**
 * The exit code for what was thrown.
 *
 * @param error Anything.
 * @returns The code.
 */
export function exitCodeFor(error: unknown): ExitCodeNumber {
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof MessageQueueError) return byCode[error.code] ?? exitCodes.failed;
  return exitCodes.failed;
}

/**
 * The exit code for how the command-line library ended, which counts its own failures below zero.
 *
 * @param code What it set.
 * @returns The code.
 */
export function exitCodeOf(code: unknown): number {
  if (code === ExitCode.UnknownCommand || code === ExitCode.InvalidArgument) return exitCodes.usage;
  return typeof code === "number" && code >= 0 ? code : exitCodes.failed;
}

/**
 * What was thrown, as people read it: one line, or with its stack.
 *
 * @param error Anything.
 * @param debug Whether to show the stack and the causes.
 * @returns The text, which may hold secrets still.
 */
export function errorText(error: unknown, debug: boolean): string {
  if (!debug || !(error instanceof Error)) return describeError(error).replaceAll(/\s*\n\s*/g, " ");
  const parts: string[] = [];
  for (let each: unknown = error; each !== undefined && parts.length < 10;) {
    parts.push(each instanceof Error ? each.stack ?? String(each) : String(each));
    each = each instanceof Error ? each.cause : undefined;
  }
  return parts.join("\ncaused by: ");
}
