/**
 * Running the command line.
 *
 * @module
 */

import { run } from "@stricli/core";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { createApp } from "./app.ts";
import { createContext } from "./context.ts";
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
  try {
    await loadDotEnv();
  } catch (error) {
    createContext().say(`error: Cannot read .env: ${errorText(error, debug)}`);
    return exitCodes.failed;
  }
  const cli = createContext();
  await run(createApp(debug), args, cli);
  return exitCodeOf(cli.process.exitCode) || cli.exitCode;
}

// What the process has set already counts more than the file.
async function loadDotEnv(): Promise<void> {
  if (!existsSync(resolve(".env"))) return;
  const { load } = await import("@std/dotenv");
  await load({ export: true });
}
