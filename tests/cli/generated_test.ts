import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { describe, it } from "node:test";
import { knownVariables } from "../../cli/environment.ts";
import { backendVariables } from "../../cli/generate/configuration.ts";
import { generated } from "../../cli/generate/mod.ts";
import { root } from "../process.ts";

const timeout = 60_000;

describe("what is generated", () => {
  it("is as the code has it", { timeout }, async () => {
    for (const [path, text] of await generated()) {
      const name = relative(root, path);
      assert.equal(readFileSync(path, "utf8"), text, `${name} is out of date: run \`deno run -A cli/generate/mod.ts\``);
    }
  });

  it("names every variable that the command line knows, and the other way round", { timeout }, () => {
    for (const name of backendVariables()) assert.ok(knownVariables.includes(name), `cli/environment.ts lacks ${name}`);
  });
});
