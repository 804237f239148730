import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { MessageQueueError } from "../../core/errors.ts";
import { formatDigest, sha256 } from "../../plugins/remote/integrity.ts";
import { discover, rejects, temporaryFolder, timeout } from "./helpers.ts";
import { lineBackend, redirect, serve } from "./server.ts";

describe("a backend from a URL", () => {
  it("is loaded with all that it imports, in TypeScript and JavaScript", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using other = await serve({ "/far.js": `export const far = "far";` });
    await using server = await serve({
      "/plugin/mod.ts": `
import type { Nothing } from "./types.ts";
import { type Nothing as Same, near } from "./near.ts";
import { far } from ${JSON.stringify("ORIGIN/far.js")};
export { again } from '../up.js';
export * from "/root.js";
import words from "./words.json" with { type: "json" };
import { basename } from "node:path";
import { readFileSync } from "fs";
// import "./comment.ts";
const text = 'import "./string.ts"; import("./string.ts")';
interface Thing<T> { readonly value: T }
const thing: Thing<string> = { value: \`\${near} \${far} \${words.hello}\` };
const late = await import("./late.ts");
export default class Plugin {
  readonly parts: string[] = [thing.value, late.late, basename("/a/b"), typeof readFileSync, text];
  readonly url: string = import.meta.url;
  static fromEnv(): Plugin { return new Plugin(); }
  async publish(): Promise<void> {}
  async *consume(): AsyncGenerator<object> {}
  fail(): never {
    throw new Error("from the plugin");
  }
}
`.replace("ORIGIN", other.origin),
      "/plugin/near.ts":
        `import { far } from "./cycle.ts"; export interface Nothing { a: string } export const near: string = "near"; export const f = () => far;`,
      "/plugin/cycle.ts": `import { near } from "./near.ts"; export const far = () => near;`,
      "/plugin/late.ts": `export const late: string = await Promise.resolve("late");`,
      "/plugin/words.json": `{ "hello": "hello" }`,
      "/up.js": `export const again = 1;`,
      "/root.js": `export const root = 2;`,
    });
    const url = `${server.origin}/plugin/mod.ts`;
    const backend = await discover({ ABE_MQ_PLUGIN_URL: url }, { folder: folder.path });
    assert.deepEqual(backend.parts, [
      "near far hello",
      "late",
      "b",
      "function",
      'import "./string.ts"; import("./string.ts")',
    ]);
    assert.equal(backend.url, url);
    assert.ok(!server.requests.some((path) => /comment|string|types/.test(path)), server.requests.join());
    // Bun shows the file's path, in which the URL is written.
    assert.throws(backend.fail as () => never, (error: Error) => {
      assert.match(error.stack ?? "", /127\.0\.0\.1[:_]\d+\/\w+\/plugin\/mod\.m?ts:22:/);
      return true;
    });
  });

  it("resolves relative imports from where a redirect led", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/latest": redirect("/v2/mod.js"),
      "/v2/mod.js": lineBackend("redirected", `import { two } from "./two.js"; export { two };`),
      "/v2/two.js": `export const two = 2;`,
    });
    const backend = await discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/latest` }, { folder: folder.path });
    assert.equal(backend.name, "redirected");
  });

  it("shares this package's copy with its host", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const code = lineBackend(
      "shared",
      `import { MessageQueueError, ConfigError } from "jsr:@abe/mq@^0.1"; import * as mq from "@abe/mq"; import { MemoryBackend } from "@abe/mq/memory";`,
    ).replace(
      "lines = [];",
      "lines = []; ErrorClass = MessageQueueError; same = mq.ConfigError === ConfigError; memory = typeof MemoryBackend;",
    );
    await using server = await serve({ "/mod.js": code });
    // With a digest the loader serves Deno as well.
    const digest = formatDigest(sha256(code));
    const backend = await discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js#${digest}` }, { folder: folder.path });
    assert.equal(backend.ErrorClass, MessageQueueError);
    assert.equal(backend.same, true);
    assert.equal(backend.memory, "function");
  });
});

describe("what a module from a URL imports", () => {
  // Any digest makes the loader work on Deno too.
  const integrity = { "https://unused.invalid/": formatDigest(sha256("")) };

  it("comes from the application when it is a package, ES modules alone included", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const home = join(folder.path, "node_modules/@acme/words");
    await mkdir(home, { recursive: true });
    const exports = { ".": { import: "./main.mjs" }, "./deep/*": { import: "./deep-*.mjs" } };
    await writeFile(join(home, "package.json"), JSON.stringify({ name: "@acme/words", version: "1.2.3", exports }));
    await writeFile(join(home, "main.mjs"), `export const hello = "hello";`);
    await writeFile(join(home, "deep-x.mjs"), `export const world = "world";`);
    const code = lineBackend(
      "packages",
      `import { hello } from "@acme/words"; import { world } from "npm:@acme/words@^1/deep/x"; const words = [hello, world];`,
    ).replace("lines = [];", "lines = []; words = words;");
    await using server = await serve({ "/mod.js": code, "/none.js": `import "@acme/words/none";` });
    const backend = await discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` }, {
      folder: folder.path,
      integrity,
    });
    assert.deepEqual(backend.words, ["hello", "world"]);
    await rejects(
      discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/none.js` }, { folder: folder.path, integrity }),
      "plugin_failed",
      "@acme/words/none",
      "exports no",
    );
  });

  it("may be missing where it is imported only when the code gets there", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const code = lineBackend(
      "optional",
      `const found = [];
for (const load of [() => import("./none.js"), () => import("abe-not-installed"), () => import("./there.js")]) {
  found.push(await load().then((module) => module.there, (error) => error.code));
}`,
    ).replace("lines = [];", "lines = []; found = found;");
    await using server = await serve({ "/mod.js": code, "/there.js": "export const there = true;" });
    const backend = await discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` }, {
      folder: folder.path,
      integrity,
    });
    assert.deepEqual(backend.found, ["ERR_MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND", true]);
  });

  it("is one module however it is reached", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const code = lineBackend(
      "once",
      `import { state as a } from "./state.js"; import { state as b } from "./moved.js"; import { state as c } from "./sub/../state.js";
const { state: d } = await import("./state.js"); const same = a === b && b === c && c === d;`,
    ).replace("lines = [];", "lines = []; same = same;");
    await using server = await serve({
      "/mod.js": code,
      "/moved.js": redirect("/state.js"),
      "/state.js": "export const state = {};",
    });
    const backend = await discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` }, {
      folder: folder.path,
      integrity,
    });
    assert.equal(backend.same, true);
    assert.deepEqual(server.requests.toSorted(), ["/mod.js", "/moved.js", "/state.js", "/state.js"]);
  });

  it("keeps lines and URLs in stack traces, in the loader's own form", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/src/mod.ts": `import {
  type Nothing,
  fail,
} from
  "./fail.ts";
interface Other { readonly a: string }
export default {
  fromEnv: () => ({ publish() {}, consume() {}, fail, here(): never { throw new Error("here"); } }),
};
`,
      "/src/fail.ts": `export interface Nothing {
  a: string;
}
export function fail(_a: string): never {
  throw new Error("there");
}
`,
    });
    const backend = await discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/src/mod.ts` }, {
      folder: folder.path,
      integrity,
    });
    for (const [method, place] of [["here", /\/src\/mod\.m?ts:8:/], ["fail", /\/src\/fail\.m?ts:5:/]] as const) {
      assert.throws(backend[method] as () => never, (error: Error) => {
        assert.match(error.stack ?? "", place);
        // Bun knows neither `sourceURL` nor source maps of what it imports.
        if (!("Bun" in globalThis)) assert.ok(error.stack?.includes(server.origin), error.stack);
        return true;
      });
    }
  });
});

describe("a backend from a URL that cannot be loaded", () => {
  it("is refused when the server does not have it, or part of it", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/half.js": `import "./missing.js"; ${lineBackend("half")}` });
    await rejects(
      discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/gone.js` }, { folder: folder.path }),
      "plugin_not_found",
      `${server.origin}/gone.js`,
    );
    await rejects(
      discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/half.js` }, { folder: folder.path }),
      "plugin_not_found",
      "missing.js",
    );
  });
});
