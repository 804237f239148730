/**
 * What every command is given, and the flags that all of them have.
 *
 * @module
 */

import { type DiscoveryOptions, type Logger, type MessageQueue, openQueue } from "@abe/mq";
import type { CommandContext, StricliProcess } from "@stricli/core";
import process from "node:process";
import { readEnvironment } from "./environment.ts";
import { errorText, type ExitCodeNumber } from "./exit.ts";
import { redactor } from "./redact.ts";
import { type Style, styleOf } from "./style.ts";

/** What every command is given. */
export interface Cli extends CommandContext {
  /** What the command-line library writes to. */
  readonly process: StricliProcess;
  /** Colours for standard output. */
  readonly style: Style;
  /** Colours for standard error. */
  readonly errorStyle: Style;
  /** Writes a line to standard output, with secrets hidden. */
  print(text: string): void;
  /** Writes a line of messages to standard output, as they are. */
  printData(text: string): void;
  /** Writes a value as one line of JSON to standard output, as it is. */
  printJson(value: unknown): void;
  /** Writes a line for people to standard error. */
  say(text: string): void;
  /** Hides secrets in a text. */
  redact(text: string): string;
  /** Hides secrets in the texts of a value. */
  redactJson(value: unknown): unknown;
  /** The variables that `.env` gave. */
  readonly fromDotEnv: readonly string[];
  /** With which code to exit when nothing is thrown. */
  exitCode: ExitCodeNumber;
  /** Whether something that cannot be ended, a read of standard input, may keep the process. */
  mustLeave: boolean;
}

/** The flags that every command has. */
export interface CommonFlags {
  /** The backend, as `openQueue` takes it. */
  readonly backend?: string | undefined;
  /** Whether to write JSON. */
  readonly json: boolean;
  /** Whether to show stacks and debug lines. */
  readonly debug: boolean;
}

const text = (value: string) => value;

/** `--json` and `--debug`. */
export const outputFlags = {
  json: { kind: "boolean", brief: "Write JSON, for programs", default: false },
  debug: { kind: "boolean", brief: "Show debug lines, and the stack of an error", default: false },
} as const;

/** `--backend`, `--json` and `--debug`. */
export const commonFlags = {
  backend: {
    kind: "parsed",
    parse: text,
    optional: true,
    placeholder: "name|url",
    brief: "The backend: a name, a URL, jsr:, npm: or a path; without it, what the variables say",
  },
  ...outputFlags,
} as const;

/**
 * Makes what the commands are given.
 *
 * @param fromDotEnv The variables that `.env` gave.
 * @returns The context of this process.
 */
export function createContext(fromDotEnv: readonly string[] = []): Cli {
  const { stdout, stderr } = process;
  const env = readEnvironment();
  const redact = redactor(env);
  const colours = (stream: { readonly isTTY?: boolean }) =>
    stream.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
  const depth = (stream: { readonly isTTY?: boolean }) => () => colours(stream) ? 8 : 1;
  const cli: Cli = {
    process: {
      stdout: { write: (chunk) => void stdout.write(chunk), getColorDepth: depth(stdout) },
      stderr: { write: (chunk) => void stderr.write(redact(chunk)), getColorDepth: depth(stderr) },
      env,
    },
    style: styleOf(colours(stdout)),
    errorStyle: styleOf(colours(stderr)),
    print: (line) => void stdout.write(`${redact(line)}\n`),
    printData: (line) => void stdout.write(`${line}\n`),
    printJson: (value) => void stdout.write(`${JSON.stringify(value)}\n`),
    say: (line) => void stderr.write(`${redact(line)}\n`),
    redact,
    redactJson: (value) =>
      JSON.parse(JSON.stringify(value), (_, each: unknown) => typeof each === "string" ? redact(each) : each),
    fromDotEnv,
    exitCode: 0,
    mustLeave: false,
  };
  return cli;
}

/**
 * The logger of a command: warnings and errors to standard error.
 *
 * @param cli The command's context.
 * @param debug Whether to write the rest, too.
 * @returns The logger.
 */
export function cliLogger(cli: Cli, debug: boolean): Logger {
  const { dim, yellow, red } = cli.errorStyle;
  const line = (level: string) => (message: string, ...details: unknown[]) =>
    cli.say([level, message, ...details.map((detail) => errorText(detail, debug))].join(" "));
  const quiet = () => {};
  return {
    debug: debug ? line(dim("debug:")) : quiet,
    info: debug ? line(dim("info:")) : quiet,
    warn: line(yellow("warning:")),
    error: line(red("error:")),
  };
}

/**
 * How a command finds its backend: as an application does, or by `--backend`.
 *
 * @param cli The command's context.
 * @param flags Its flags.
 * @returns The options of discovery.
 */
export function discoveryOptions(cli: Cli, flags: Omit<CommonFlags, "json">): DiscoveryOptions & { logger: Logger } {
  return {
    logger: cliLogger(cli, flags.debug),
    ...(flags.backend !== undefined && { backend: flags.backend }),
  };
}

/**
 * Opens the queue of a command.
 *
 * @param cli The command's context.
 * @param flags Its flags.
 * @returns The queue.
 */
export async function openCliQueue(cli: Cli, flags: Omit<CommonFlags, "json">): Promise<MessageQueue> {
  return await openQueue(discoveryOptions(cli, flags));
}
