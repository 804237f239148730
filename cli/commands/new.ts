/**
 * `mq new`.
 *
 * @module
 */

import { buildCommand, type Command } from "@stricli/core";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Cli, outputFlags } from "../context.ts";
import { CliError, exitCodes } from "../exit.ts";
import { templateFiles } from "../template_files.ts";

interface Flags {
  readonly json: boolean;
  readonly debug: boolean;
}

// Longer names would break the lines of the files.
const longestName = 30;

async function runNew(this: Cli, flags: Flags, wanted: string): Promise<void> {
  const [, scope = "@your-scope", name = ""] =
    /^(?:(@[a-z0-9][a-z0-9-]*)\/)?(?:abe-mq-)?([a-z][a-z0-9-]*)$/.exec(wanted) ?? [];
  if (name === "" || name.length > longestName) {
    throw new CliError(
      `Cannot make a plugin named ${
        JSON.stringify(wanted)
      }: a name has at most ${longestName} small letters, digits and dashes, ` +
        "with a scope or without, as in thing or @acme/thing",
      exitCodes.usage,
    );
  }
  const folder = resolve(`abe-mq-${name}`);
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new CliError(`Cannot make ${folder}: there is something in it`);
  }
  for (const [path, text] of Object.entries(templateFiles)) {
    const target = join(folder, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, fill(text, scope, name), { flag: "wx" });
  }
  if (flags.json) {
    return this.printJson({ name: `${scope}/abe-mq-${name}`, folder, files: Object.keys(templateFiles) });
  }
  const { bold, dim } = this.style;
  this.print(`Made ${bold(`${scope}/abe-mq-${name}`)} in ${folder}`);
  this.print(
    dim(`  cd abe-mq-${name}\n  deno task test     # passes as it is\n  deno task verify   # the kit's table`),
  );
  this.print("README.md tells how to go on: replace engine.ts by a client of your broker");
}

function fill(text: string, scope: string, name: string): string {
  const pascal = name.split("-").map((word) => `${word[0]?.toUpperCase() ?? ""}${word.slice(1)}`).join("");
  return text.replaceAll("@your-scope", scope).replaceAll("acorn", name).replaceAll("Acorn", pascal);
}

/** `mq new`. */
export const create: Command<Cli> = buildCommand<Flags, [wanted: string], Cli>({
  func: runNew,
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{ placeholder: "name", brief: "The plugin's name, such as thing or @acme/thing", parse: String }],
    },
    flags: outputFlags,
  },
  docs: {
    brief: "Make a plugin: a package with a working backend, tests by the kit, docs and a workflow",
    fullDescription:
      "Makes the folder abe-mq-NAME with a plugin that works as it is, over a small engine of files, and passes the " +
      "conformance kit on Deno, Bun and Node. You replace the engine by a client of your broker.",
  },
});
