/**
 * The real command line in child processes, on the runtime that runs the test.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../programs.ts";
import { type Child, type Command, type Result, root, run, runtimeCommand, spawn, thisRuntime } from "../process.ts";

/** The path of the command line. */
export const cliPath: string = join(root, "cli/mod.ts");

// Node strips the types of every file at each start unless it may keep what it made of them.
const compileCache = join(root, ".tools/node-compile-cache");

/** How to start the command line. */
export interface CliOptions {
  /** Further variables; `undefined` takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Text for its standard input. */
  readonly input?: string;
}

/** A folder of its own with a SQLite queue, and the command line in it. */
export class Place implements Disposable {
  /** The folder. */
  readonly folder: string = mkdtempSync(join(tmpdir(), "abe-mq-cli-"));
  readonly #env: Readonly<Record<string, string | undefined>>;

  /**
   * @param env Variables of the command line; by default those of a SQLite queue in the folder.
   */
  constructor(env: Readonly<Record<string, string | undefined>> = { MESSAGE_QUEUE_BACKEND: "sqlite" }) {
    this.#env = env;
  }

  /** The command that runs the command line. */
  command(args: readonly string[], env: CliOptions["env"] = {}): Command {
    const variables = { NODE_COMPILE_CACHE: compileCache, ...this.#env, ...env };
    return runtimeCommand(thisRuntime, cliPath, { args, cwd: this.folder, env: variables });
  }

  /** Runs it to its end. */
  async mq(args: readonly string[], { env, input }: CliOptions = {}): Promise<Result> {
    return await run(this.command(args, env), { timeoutMs: 60_000, ...(input !== undefined && { input }) });
  }

  /** Runs it and reads its output as JSON; fails unless it exits with 0. */
  async json(args: readonly string[], options: CliOptions = {}): Promise<unknown> {
    const result = await this.mq([...args, "--json"], options);
    if (result.code !== 0) throw new Error(`mq ${args.join(" ")} exited with ${result.code}: ${result.output}`);
    return JSON.parse(result.stdout);
  }

  /** Starts it. */
  start(args: readonly string[], env: CliOptions["env"] = {}): Child {
    return spawn(this.command(args, env));
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The payloads in lines of JSON. */
export function parseLines(text: string): unknown[] {
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/**
 * A command that runs another one on a pseudo-terminal, by `script` (util-linux) or Python.
 *
 * @param command What is to see a terminal.
 * @returns The command; what the terminal shows is its standard output.
 * @throws {Error} When the machine has neither.
 */
export function onTerminal(command: Command): Command {
  const env = { ...command.env, TERM: "xterm-256color", NO_COLOR: undefined };
  const line = [command.command, ...command.args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  const python = findProgram("python3");
  if (findProgram("script") !== undefined) {
    return { ...command, command: "script", args: ["-qec", line, "/dev/null"], env };
  }
  if (python === undefined) {
    throw new Error("Cannot test on a terminal: this machine has neither `script` (util-linux) nor `python3`");
  }
  const code = "import pty, sys, os; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
  return { ...command, command: python.command, args: ["-c", code, "sh", "-c", line], env };
}
