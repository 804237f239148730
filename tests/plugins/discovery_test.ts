import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { envFrom } from "../../core/env.ts";
import { ConfigError, MessageQueueError } from "../../core/errors.ts";
import { getMessageQueueBackend, openQueue } from "../../plugins/open.ts";
import { discover, recordingLogger, rejects, temporaryFolder, timeout } from "./helpers.ts";
import { lineBackend, serve } from "./server.ts";

async function write(folder: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}

function makes(name: string): { fromEnv(): never } {
  return { fromEnv: () => ({ name, publish: async () => {}, async *consume() {} }) as never };
}

describe("every way to a backend", () => {
  it("is the explicit argument: what makes it, a name, a path, a URL", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("url") });
    await write(folder.path, { "own.mjs": lineBackend("path") });
    const options = { folder: folder.path };
    const never = { MESSAGE_QUEUE_BACKEND: "nobody", ABE_MQ_PLUGIN_URL: "nowhere" };
    assert.equal((await discover(never, { ...options, backend: makes("object") })).name, "object");
    assert.equal((await discover(never, { ...options, backend: "./own.mjs" })).name, "path");
    assert.equal((await discover(never, { ...options, backend: join(folder.path, "own.mjs") })).name, "path");
    assert.equal((await discover(never, { ...options, backend: `${server.origin}/mod.js` })).name, "url");
    assert.equal((await discover(never, { ...options, backend: "x", plugins: { x: makes("option") } })).name, "option");
    const namespace = { default: makes("namespace") };
    assert.equal((await discover(never, { ...options, backend: namespace as never })).name, "namespace");
  });

  it(
    "is a name in MESSAGE_QUEUE_BACKEND, or QUEUE_BACKEND as of old, looked up in the plugins option",
    { timeout },
    async () => {
      await using folder = await temporaryFolder();
      await write(folder.path, { "own.mjs": lineBackend("path") });
      const plugins = {
        module: makes("module"),
        loaded: () => Promise.resolve({ default: makes("loaded") }),
        file: "./own.mjs",
        several: () => Promise.resolve({ backends: { several: makes("several"), other: makes("other") } }),
      };
      for (
        const [name, expected] of [["module", "module"], ["loaded", "loaded"], ["file", "path"], ["several", "several"]]
      ) {
        const options = { folder: folder.path, plugins };
        assert.equal((await discover({ MESSAGE_QUEUE_BACKEND: name ?? "" }, options)).name, expected);
        assert.equal((await discover({ QUEUE_BACKEND: name ?? "" }, options)).name, expected);
      }
      const both = { MESSAGE_QUEUE_BACKEND: "module", QUEUE_BACKEND: "loaded" };
      assert.equal((await discover(both, { folder: folder.path, plugins })).name, "module");
    },
  );

  it("is a name in the map of ABE_MQ_PLUGINS, as path, file URL and URL", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/maps/map.json": JSON.stringify({ imports: { far: "./far.js" } }),
      "/maps/far.js": lineBackend("far"),
    });
    await write(folder.path, {
      "maps/own.json": JSON.stringify({ imports: { near: "../near.mjs", url: `${server.origin}/maps/far.js` } }),
      "near.mjs": lineBackend("near"),
    });
    const options = { folder: folder.path };
    const map = join(folder.path, "maps/own.json");
    for (const place of ["maps/own.json", "./maps/own.json", map, pathToFileURL(map).href]) {
      const env = { ABE_MQ_PLUGINS: place, MESSAGE_QUEUE_BACKEND: "near" };
      assert.equal((await discover(env, options)).name, "near");
    }
    const url = { ABE_MQ_PLUGINS: map, MESSAGE_QUEUE_BACKEND: "url" };
    assert.equal((await discover(url, options)).name, "far");
    const far = { ABE_MQ_PLUGINS: `${server.origin}/maps/map.json`, MESSAGE_QUEUE_BACKEND: "far" };
    assert.equal((await discover(far, options)).name, "far");
  });

  it("is a name in plugins/import_map.json under the working directory", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await write(folder.path, {
      "plugins/import_map.json": JSON.stringify({ imports: { mine: "./mine.mjs", memory: "./mine.mjs" } }),
      "plugins/mine.mjs": lineBackend("mine"),
    });
    const options = { folder: folder.path };
    assert.equal((await discover({ MESSAGE_QUEUE_BACKEND: "mine" }, options)).name, "mine");
    // The application's map comes before the package's own.
    assert.equal((await discover({ MESSAGE_QUEUE_BACKEND: "memory" }, options)).name, "mine");
    const plugins = { mine: makes("option") };
    assert.equal((await discover({ MESSAGE_QUEUE_BACKEND: "mine" }, { ...options, plugins })).name, "option");
  });

  it("is the module of ABE_MQ_PLUGIN_URL, and a name chooses among what it exports", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/mod.js": lineBackend("url"),
      "/two.js":
        `import One from "./mod.js"; export const backends = { one: One, two: { fromEnv: () => ({ name: "two", publish() {}, consume() {} }) } };`,
    });
    const options = { folder: folder.path };
    const two = `${server.origin}/two.js`;
    assert.equal((await discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` }, options)).name, "url");
    assert.equal((await discover({ ABE_MQ_PLUGIN_URL: two, MESSAGE_QUEUE_BACKEND: "two" }, options)).name, "two");
    assert.equal((await discover({ ABE_MQ_PLUGIN_URL: two, MESSAGE_QUEUE_BACKEND: "one" }, options)).name, "url");
    await rejects(
      discover({ ABE_MQ_PLUGIN_URL: two, MESSAGE_QUEUE_BACKEND: "tow" }, options),
      "plugin_invalid",
      "one, two",
      "did you mean two",
    );
    await rejects(
      discover({ ABE_MQ_PLUGIN_URL: two }, options),
      "plugin_ambiguous",
      "one, two",
      "MESSAGE_QUEUE_BACKEND",
    );
  });

  it("is an installed package named abe-mq-NAME, in any scope", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const manifest = (name: string, more: object = {}) =>
      JSON.stringify({ name, version: "1.0.0", type: "module", exports: { import: "./main.js" }, ...more });
    await write(folder.path, {
      "package.json": JSON.stringify({ dependencies: { "abe-mq-line": "^1", "@acme/abe-mq-queue": "^1", zod: "^4" } }),
      "node_modules/abe-mq-line/package.json": manifest("abe-mq-line"),
      "node_modules/abe-mq-line/main.js": lineBackend("line"),
      "node_modules/@acme/abe-mq-queue/package.json": manifest("@acme/abe-mq-queue"),
      "node_modules/@acme/abe-mq-queue/main.js": lineBackend("queue"),
      "node_modules/abe-mq-hidden/package.json": manifest("abe-mq-hidden"),
      "node_modules/abe-mq-hidden/main.js": lineBackend("hidden"),
      "deep/er/keep": "",
    });
    for (const place of [folder.path, join(folder.path, "deep/er")]) {
      const options = { folder: place, cacheDir: join(folder.path, "cache") };
      assert.equal((await discover({ MESSAGE_QUEUE_BACKEND: "line" }, options)).name, "line");
      assert.equal((await discover({ MESSAGE_QUEUE_BACKEND: "queue" }, options)).name, "queue");
      assert.equal((await discover({ MESSAGE_QUEUE_BACKEND: "@acme/abe-mq-queue" }, options)).name, "queue");
      // Not a direct dependency.
      await rejects(
        discover({ MESSAGE_QUEUE_BACKEND: "hidden" }, options),
        "plugin_not_found",
        "abe-mq-line, @acme/abe-mq-queue",
      );
      await rejects(
        discover({}, options),
        "plugin_ambiguous",
        "line",
        "queue",
        "package.json",
        "MESSAGE_QUEUE_BACKEND=line",
      );
    }
    assert.equal(
      (await discover({ ABE_MQ_PLUGIN_URL: "npm:abe-mq-hidden@^1" }, { folder: folder.path })).name,
      "hidden",
    );
  });

  it("is the only plugin that the application configured", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const plugins = { only: makes("only") };
    assert.equal((await discover({}, { folder: folder.path, plugins })).name, "only");
    await rejects(
      discover({}, { folder: folder.path, plugins: { ...plugins, other: makes("other") } }),
      "plugin_ambiguous",
      "only (the plugins option), other (the plugins option)",
    );
    await write(folder.path, {
      "plugins/import_map.json": JSON.stringify({ imports: { only: "./mine.mjs" } }),
      "plugins/mine.mjs": lineBackend("mine"),
    });
    assert.equal((await discover({}, { folder: folder.path })).name, "mine");
    // One name in two places is one plugin.
    assert.equal((await discover({}, { folder: folder.path, plugins })).name, "only");
  });

  it("is memory with nothing configured, with one warning that says so", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const logger = recordingLogger();
    const backend = await discover({}, { folder: folder.path, logger });
    assert.equal(typeof backend.publishMany, "function");
    const warnings = logger.lines.filter((line) => line.level === "warn");
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]?.message ?? "", /memory.*MESSAGE_QUEUE_BACKEND/);
    const quiet = recordingLogger();
    await discover({ MESSAGE_QUEUE_BACKEND: "memory" }, { folder: folder.path, logger: quiet });
    assert.deepEqual(quiet.lines.filter((line) => line.level === "warn"), []);
  });

  it("gives the backend itself, and openQueue wraps it", { timeout }, async () => {
    const made = { publish: async () => {}, async *consume() {} };
    const backend = { fromEnv: () => made as never };
    assert.equal(await getMessageQueueBackend({ backend }), made);
    await using queue = await openQueue({ backend });
    assert.equal(queue.backend, made);
  });
});

describe("a backend that was asked for and cannot be had", () => {
  it("by an unknown name: says where it looked, the nearest name, and how to install one", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await write(folder.path, { "package.json": "{}", "plugins/import_map.json": `{"imports":{"redstream":"./x.js"}}` });
    const error = await rejects(
      discover({ MESSAGE_QUEUE_BACKEND: "redstraem" }, { folder: folder.path, plugins: { first: makes("first") } }),
      "plugin_not_found",
      "did you mean redstream?",
      "the plugins option (first)",
      "import_map.json (redstream)",
      "built-in backends (memory",
      "package.json",
      "deno add npm:abe-mq-redstraem",
      "bun add abe-mq-redstraem",
      "npm install abe-mq-redstraem",
      "bunx jsr add @SCOPE/abe-mq-redstraem",
    );
    assert.ok(!error.message.includes("\n"));
    await rejects(
      discover({ MESSAGE_QUEUE_BACKEND: "memroy" }, { folder: folder.path }),
      "plugin_not_found",
      "did you mean memory?",
    );
    await rejects(
      discover({ MESSAGE_QUEUE_BACKEND: "@acme/abe-mq-x" }, { folder: folder.path }),
      "plugin_not_found",
      "npm install @acme/abe-mq-x",
    );
  });

  it("by a name that only looks like one, or is a shell command", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const options = { folder: folder.path };
    await rejects(
      discover({ MESSAGE_QUEUE_BACKEND: "mem\u043ery" }, options),
      "plugin_not_found",
      "U+043E",
      "did you mean memory?",
    );
    const error = await rejects(discover({ MESSAGE_QUEUE_BACKEND: "x; rm -rf $HOME" }, options), "plugin_not_found");
    assert.ok(!error.message.includes("install abe-mq-x;"), error.message);
    for (const name of ["__proto__", "constructor", "toString"]) {
      await rejects(discover({ MESSAGE_QUEUE_BACKEND: name }, { ...options, plugins: {} }), "plugin_not_found");
    }
  });

  it("by a map that is not there, is no map, or holds something wrong", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await write(folder.path, {
      "broken.json": "{",
      "array.json": "[]",
      "number.json": `{"imports":{"x":1},"integrity":{"y":2}}`,
    });
    const options = { folder: folder.path };
    const say: [string, RegExp][] = [
      ["missing.json", /missing\.json, which does not exist/],
      ["broken.json", /broken\.json is not JSON/],
      ["array.json", /array\.json must be an import map/],
      ["number.json", /"x" in imports must be a string\n.*"y" in integrity must be a string/],
    ];
    for (const [map, says] of say) {
      const error = await rejects(
        discover({ ABE_MQ_PLUGINS: map, MESSAGE_QUEUE_BACKEND: "memory" }, options),
        "config",
        says,
      );
      assert.ok(error instanceof ConfigError);
    }
  });

  it("by a path, package or URL that is not there", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({});
    const options = { folder: folder.path };
    await rejects(
      discover({ MESSAGE_QUEUE_BACKEND: "./none.mjs" }, options),
      "plugin_not_found",
      "none.mjs",
      "no such file",
    );
    await rejects(discover({ ABE_MQ_PLUGIN_URL: "redis" }, options), "config", "MESSAGE_QUEUE_BACKEND");
    await rejects(discover({ ABE_MQ_PLUGIN_URL: "ftp://x/y.ts" }, options), "plugin_refused", "https:");
    await rejects(
      discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/none.js` }, options),
      "plugin_not_found",
      `${server.origin}/none.js`,
    );
    const { origin } = server;
    await server[Symbol.asyncDispose]();
    await rejects(
      discover({ ABE_MQ_PLUGIN_URL: `${origin}/none.js` }, options),
      "plugin_not_found",
      `${origin}/none.js`,
    );
    await rejects(
      discover({ MESSAGE_QUEUE_BACKEND: "x" }, { ...options, plugins: { x: "abe-mq-absent-x" } }),
      "plugin_not_found",
      "npm install abe-mq-absent-x",
    );
  });

  it("by a server that does not answer in time", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": () => {} });
    const options = { folder: folder.path, timeoutMs: 300 };
    await rejects(discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` }, options), "timeout", "300 ms");
  });

  it("by a module that never gets ready", { timeout }, async () => {
    await using folder = await temporaryFolder();
    // Not for ever: Deno's runner fails a file in which such a wait is all that is left to do.
    const late = "await new Promise((done) => setTimeout(done, 5_000));";
    await using server = await serve({ "/mod.js": lineBackend("never", late) });
    const options = { folder: folder.path, timeoutMs: 1_000 };
    await rejects(discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` }, options), "timeout", "/mod.js");
  });

  it("by code that does not parse, or throws", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/syntax.js": "export default class {{",
      "/syntax.ts": "const a: = 'b';",
      "/throws.js": `throw new Error("at home: redis://user:secret@host/");`,
      "/names.js": `import { nothing } from "./other.js"; export default nothing;`,
      "/other.js": "export const something = 1;",
    });
    const options = { folder: folder.path };
    for (const file of ["syntax.js", "syntax.ts", "names.js"]) {
      await rejects(
        discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/${file}` }, options),
        "plugin_failed",
        file,
        "does not parse",
      );
    }
    const error = await rejects(
      discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/throws.js` }, options),
      "plugin_failed",
      "at home",
    );
    assert.ok(!error.message.includes("secret"), error.message);
  });

  it("by a module that exports no backend", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/empty.js": "",
      "/class.js": "export default class Thing { publish() {} } export const a = 1;",
      "/named.js": "export class Named { static fromEnv() {} }",
      "/backends.js": "export const backends = { one: 1 };",
      "/makes.js": "export default { fromEnv: () => ({ publish() {} }) };",
    });
    const options = { folder: folder.path };
    const says: [string, ...string[]][] = [
      ["empty.js", "exports nothing"],
      ["class.js", "Thing without `fromEnv`", "it exports a"],
      ["named.js", "no default export", "Named"],
      ["backends.js", "backends"],
      ["makes.js", "no `consume`"],
    ];
    for (const [file, ...texts] of says) {
      await rejects(
        discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/${file}` }, options),
        "plugin_invalid",
        file,
        ...texts,
      );
    }
  });

  it("by a fromEnv that throws: its ConfigError as it is, anything else with where it was", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const options = { folder: folder.path };
    const config = new ConfigError(["MESSAGE_QUEUE_HOST is missing"]);
    const fails = (error: unknown) => ({
      fromEnv: () => {
        throw error;
      },
    });
    assert.equal(await discover({}, { ...options, backend: fails(config) }).catch((error) => error), config);
    const error = await rejects(
      discover({ MESSAGE_QUEUE_BACKEND: "x" }, { ...options, plugins: { x: fails(new Error("no such thing")) } }),
      "plugin_failed",
      "x (the plugins option)",
      "no such thing",
    );
    assert.equal((error.cause as Error).message, "no such thing");
    await rejects(
      discover({}, { ...options, backend: { fromEnv: () => Promise.reject(new Error("later")) } }),
      "plugin_failed",
      "later",
    );
    await rejects(
      discover({ MESSAGE_QUEUE_BACKEND: "x" }, { ...options, plugins: { x: () => Promise.reject(new Error("gone")) } }),
      "plugin_failed",
      "gone",
    );
  });

  it("never falls back to memory", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const logger = recordingLogger();
    for (const variables of [{ MESSAGE_QUEUE_BACKEND: "nobody" }, { ABE_MQ_PLUGIN_URL: "http://127.0.0.1:9/x.js" }]) {
      await assert.rejects(
        getMessageQueueBackend({
          env: envFrom(variables),
          baseUrl: folder.path,
          cacheDir: join(folder.path, "c"),
          logger,
        }),
        MessageQueueError,
      );
    }
    assert.deepEqual(logger.lines.filter((line) => line.level === "warn"), []);
  });
});
