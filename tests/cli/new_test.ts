import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { templateFiles } from "../../cli/template_files.ts";
import { root, run, runtimePath, spawn, thisRuntime } from "../process.ts";
import { Place } from "./helpers.ts";

// The author's loop starts many tools, and Deno fetches packages for the new folder.
const timeout = 300_000;

const pick = "the engine";

describe("mq new", () => {
  it("makes a package whose name is everywhere", { timeout }, async () => {
    using place = new Place({});
    const made = await place.json(["new", "@acme/file-queue"]) as { name: string; files: string[] };
    assert.equal(made.name, "@acme/abe-mq-file-queue");
    assert.deepEqual(made.files, Object.keys(templateFiles));
    for (const file of made.files) {
      const text = readFileSync(join(place.folder, "abe-mq-file-queue", file), "utf8");
      assert.doesNotMatch(text, /acorn|your-scope/i, file);
    }
    const files = [
      "deno.json",
      "package.json",
      "mod.ts",
      "README.md",
      "docs/configuration.md",
      ".github/workflows/publish.yml",
    ];
    for (const file of files) assert.ok(made.files.includes(file), file);
    const again = await place.mq(["new", "file-queue"]);
    assert.deepEqual([again.code, /there is something in it/.test(again.stderr)], [1, true]);
    for (const name of ["../x", "Thing", "x".repeat(31), "@acme/"]) {
      assert.equal((await place.mq(["new", name])).code, 2, name);
    }
  });

  it("makes what its own tools are content with: the loop of the README", { timeout }, async () => {
    using place = new Place({});
    assert.equal((await place.mq(["new", "thing"])).code, 0);
    const cwd = join(place.folder, "abe-mq-thing");
    const must = async (command: string, args: string[], env: Record<string, string> = {}): Promise<string> => {
      const result = await run({ command, args, cwd, env }, { timeoutMs: 200_000, group: true });
      assert.equal(result.code, 0, `${args.join(" ")}: ${result.output}`);
      return result.output;
    };
    if (thisRuntime === "deno") {
      // This repository in place of what JSR would give.
      const path = join(cwd, "deno.json");
      const config = JSON.parse(readFileSync(path, "utf8"));
      const links = [root, join(root, "cli"), join(root, "tests/offline/dotenv")];
      writeFileSync(path, JSON.stringify({ ...config, links }, undefined, 2) + "\n");
      const deno = runtimePath("deno");
      await must(deno, ["fmt", "deno.json"]);
      assert.match(await must(deno, ["task", "check"]), /Dry run complete/);
      assert.match(await must(deno, ["task", "test", "--filter", pick]), /1 passed/);
      assert.match(await must(deno, ["task", "verify", "--only", "order"]), /\n12 +Ordering +3 +passed/);
      return;
    }
    // As `bunx jsr add -D @abe/mq` would.
    mkdirSync(join(cwd, "node_modules/@abe"), { recursive: true });
    symlinkSync(root, join(cwd, "node_modules/@abe/mq"));
    symlinkSync(join(root, "node_modules/@types"), join(cwd, "node_modules/@types"));
    if (thisRuntime === "node") {
      assert.match(await must(runtimePath("node"), ["--test", `--test-name-pattern=${pick}`]), /pass 1\n/);
      // What the workflow publishes to npm.
      await must(runtimePath("node"), [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json"]);
      const built = `import Backend from "./dist/mod.js"; console.log(typeof Backend.fromEnv);`;
      assert.equal(await must(runtimePath("node"), ["--input-type=module", "-e", built]), "function\n");
      return;
    }
    assert.match(await must(runtimePath("bun"), ["test", "-t", pick]), / 1 pass\n/);
    // Served, and loaded by URL under Bun.
    await using server = spawn({ command: runtimePath("bun"), args: ["example/serve.ts"], cwd, env: { PORT: "0" } });
    const [, url = ""] = /^ABE_MQ_PLUGIN_URL=(.*)$/.exec(await server.line(/^ABE_MQ_PLUGIN_URL=/)) ?? [];
    const output = await must(runtimePath("bun"), ["example/app.ts"], {
      ABE_MQ_PLUGIN_URL: url,
      ABE_MQ_CACHE_DIR: join(place.folder, "cache"),
    });
    assert.equal(output, `{\n  hello: "world",\n}\n`);
  });
});
