import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { denoConfig, type Result, root, run, runtimePath, thisRuntime } from "../process.ts";

const timeout = 120_000;
const page = await readFile(join(root, "docs/writing_a_backend.md"), "utf8");

/** The files of the page: code blocks whose first line is a comment with the file's name. */
const files = Array.from(
  page.matchAll(/^```ts(?: ignore)?\n\/\/ (\w+\.ts)\n(.*?)^```/gms),
  ([, name = "", code = ""]) => ({
    name,
    code,
  }),
);

/** The page's command for this runtime. */
function ownCommand(): string[] {
  const line = page.split("\n").find((each) => each.startsWith(`${thisRuntime} `) && each.endsWith("_test.ts"));
  assert.ok(line !== undefined, `a command for ${thisRuntime}`);
  return line.split(" ").slice(1);
}

/** Puts the files into a folder of their own, changed by `change`, and runs the page's command there. */
async function runCommand(change: (code: string) => string): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "abe-mq-author-"));
  try {
    for (const { name, code } of files) await writeFile(join(folder, name), change(code));
    // As an installation would leave it: for Bun and Node a folder that resolves the package's name, for Deno an import map.
    await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    await mkdir(join(folder, "node_modules/@abe"), { recursive: true });
    await symlink(root, join(folder, "node_modules/@abe/mq"), "dir");
    const [verb = "", ...rest] = ownCommand();
    const args = thisRuntime === "deno" ? [verb, "--no-lock", "--config", denoConfig(), ...rest] : [verb, ...rest];
    // Node's runner takes a process with this variable for one of its own and reports to it in place of printing.
    const env = { NODE_TEST_CONTEXT: undefined };
    return await run({ command: runtimePath(thisRuntime), args, cwd: folder, env });
  } finally {
    await rm(folder, { recursive: true });
  }
}

void describe("The page about writing a backend", () => {
  void it("shows a backend of 25 lines", { timeout }, () => {
    const { code = "" } = files.find(({ name }) => name === "line_backend.ts") ?? {};
    const lines = code.split("\n").filter((line) => line.trim() !== "" && !/^\s*\/\/|^import/.test(line));
    assert.ok(lines.length > 10 && lines.length <= 26, `${lines.length} lines`);
  });

  void it("has one command that runs the kit on a backend outside this repository", { timeout }, async () => {
    const result = await runCommand((code) => code);
    assert.equal(result.code, 0, result.output);
    assert.match(result.output, /Conformance of line/);
    assert.match(result.output, /acks the last +\d+ +passed +\d+ native, \d+ emulated, \d+ refused/);
  });

  void it("has a command that fails when the backend is broken", { timeout }, async () => {
    // It forgets what was in hand; and only the case about that is run, as many others would wait in vain.
    const only = 'deadlineMs: 1_000, only: ["return() releases the payload in hand and loses nothing"],';
    const result = await runCommand((code) =>
      code.replace("waiting.unshift(inHand)", "inHand = undefined").replace(
        "  capabilities: {",
        `${only} capabilities: {`,
      )
    );
    assert.notEqual(result.code, 0, result.output);
    assert.match(result.output, /1 FAILED/);
  });
});
