/**
 * Running the command line.
 *
 * @module
 */

import { proposeCompletions, run } from "@stricli/core";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { createApp } from "./app.ts";
import { completeFlag } from "./commands/completions.ts";
import { createContext } from "./context.ts";
import { readEnvironment } from "./environment.ts";
import { errorText, exitCodeOf, exitCodes } from "./exit.ts";

/**
 * Runs a command line.
 *
 * @param args What follows the program's name.
 * @returns The exit code.
 */
export async function main(args: readonly string[]): Promise<number> {
  const debug = args.includes("--debug");
  // Whoever reads the output may leave at any time, as `head` does.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(exitCodes.done);
      throw error;
    });
  }
  let fromDotEnv: readonly string[] = [];
  try {
    fromDotEnv = await loadDotEnv();
  } catch (error) {
    const { say } = createContext();
    if ((error as Error).name !== "NotCapable") {
      say(`error: Cannot read .env: ${errorText(error, debug)}`);
      return exitCodes.failed;
    }
    say("warning: .env may not be read, so it is passed over: --allow-read=.env allows it");
  }
  const cli = createContext(fromDotEnv);
  const app = createApp(debug);
  if (args[0] === completeFlag) {
    for (const { completion } of await proposeCompletions(app, args.slice(1), cli)) cli.print(completion);
    return exitCodes.done;
  }
  await run(app, args, cli);
  const code = exitCodeOf(cli.process.exitCode) || cli.exitCode;
  if (cli.mustLeave) {
    for (const stream of [process.stdout, process.stderr]) {
      await new Promise<unknown>((resolve) => stream.write("", resolve));
    }
    process.exit(code);
  }
  return code;
}

// What the process has set already counts more than the file. Returns the names that came from it.
async function loadDotEnv(): Promise<readonly string[]> {
  if (!existsSync(resolve(".env"))) return [];
  const { load } = await import("@std/dotenv");
  const before = new Set(Object.keys(readEnvironment()));
  const variables = await load({ export: true });
  return Object.keys(variables).filter((name) => !before.has(name));
}
