import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { envFrom } from "../../core/env.ts";
import { ConfigError } from "../../core/errors.ts";
import { lockPlugins, pinPlugin } from "../../plugins/manage.ts";
import { sha256 } from "../../plugins/remote/integrity.ts";
import { parseJsr } from "../../plugins/remote/jsr.ts";
import { discover, recordingLogger, rejects, temporaryFolder, timeout } from "./helpers.ts";
import { type Answer, lineBackend, serve } from "./server.ts";

interface Version {
  readonly files: Record<string, string>;
  readonly exports?: string | Record<string, string>;
  readonly yanked?: boolean;
  /** Checksums that are not those of the files. */
  readonly checksums?: Record<string, string>;
}

/** What a registry answers for a package, as JSR does. */
function packageOf(name: string, versions: Record<string, Version>): Record<string, Answer> {
  const answers: Record<string, Answer> = {};
  const listed: Record<string, object> = {};
  for (const [version, { files, exports = "./mod.ts", yanked, checksums = {} }] of Object.entries(versions)) {
    listed[version] = yanked ? { yanked: true } : {};
    const manifest: Record<string, object> = {};
    for (const [path, text] of Object.entries(files)) {
      answers[`/${name}/${version}${path}`] = text;
      manifest[path] = { size: text.length, checksum: checksums[path] ?? `sha256-${sha256(text)}` };
    }
    answers[`/${name}/${version}_meta.json`] = JSON.stringify({
      manifest,
      exports: typeof exports === "string" ? { ".": exports } : exports,
    });
  }
  answers[`/${name}/meta.json`] = JSON.stringify({ scope: name.split("/")[0]?.slice(1), name, versions: listed });
  return answers;
}

const mod = (name: string, extra = "") => ({ "/mod.ts": lineBackend(name, extra) });

// Without a digest Deno asks the registry by itself, by its own `JSR_URL`; any digest makes the loader do it there too.
const checked = { integrity: { "https://unused.invalid/": `sha256-${sha256("")}` } };

describe("a jsr: specifier", () => {
  it("is taken apart, and anything else refused", () => {
    assert.deepEqual(parseJsr("jsr:@acme/mq-thing@^1"), { name: "@acme/mq-thing", range: "^1", path: "." });
    assert.deepEqual(parseJsr("jsr:@acme/mq-thing"), { name: "@acme/mq-thing", path: "." });
    assert.deepEqual(parseJsr("jsr:/@acme/mq-thing@1.2.3/sub/part"), {
      name: "@acme/mq-thing",
      range: "1.2.3",
      path: "./sub/part",
    });
    for (
      const wrong of [
        "jsr:acme/x",
        "jsr:@acme",
        "jsr:@acme/x@",
        "jsr:@acme/../x",
        "jsr:@Acme/x",
        "jsr:@acme/x?y",
        "jsr:",
      ]
    ) {
      assert.throws(() => parseJsr(wrong), ConfigError, wrong);
    }
  });

  it("loads the newest version that fits, without what was yanked", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve(packageOf("@acme/mq-thing", {
      "1.0.0": { files: mod("1.0.0") },
      "1.10.0": { files: mod("1.10.0") },
      "1.9.0": { files: mod("1.9.0") },
      "1.11.0": { files: mod("1.11.0"), yanked: true },
      "2.0.0-beta.1": { files: mod("2.0.0-beta.1") },
    }));
    const load = async (specifier: string) => {
      const variables = { JSR_URL: server.origin, ABE_MQ_PLUGIN_URL: specifier };
      return (await discover(variables, { folder: folder.path, ...checked })).name;
    };
    assert.equal(await load("jsr:@acme/mq-thing@^1"), "1.10.0");
    assert.equal(await load("jsr:@acme/mq-thing@~1.9"), "1.9.0");
    assert.equal(await load("jsr:@acme/mq-thing@1.0.0"), "1.0.0");
    assert.equal(await load("jsr:@acme/mq-thing@>=1 <1.10"), "1.9.0");
    assert.equal(await load("jsr:@acme/mq-thing"), "1.10.0");
    assert.equal(await load("jsr:@acme/mq-thing@2.0.0-beta.1"), "2.0.0-beta.1");
    assert.equal(await load("jsr:/@acme/mq-thing@^1/"), "1.10.0");
    await rejects(load("jsr:@acme/mq-thing@^3"), "plugin_not_found", "no version fits", "1.10.0", "1 that are yanked");
    await rejects(load("jsr:@acme/mq-thing@1.11.0"), "plugin_not_found", "yanked");
    await rejects(load("jsr:@acme/mq-thing@banana"), "config", "banana");
    await rejects(load("jsr:@acme/other@^1"), "plugin_not_found", "@acme/other", server.origin);
    await rejects(load("jsr:@acme/mq-thing@^1/part"), "plugin_not_found", "exports no", "1.10.0");
  });

  it("follows the exports, and the dependencies of a plugin", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      ...packageOf("@acme/mq-thing", {
        "1.0.0": {
          exports: { ".": "./main.ts", "./redis": "./src/redis.ts" },
          files: {
            "/main.ts": lineBackend("main"),
            "/src/redis.ts": lineBackend(
              "redis",
              `import { greet } from "jsr:@acme/greet@1/polite"; import { ConfigError } from "jsr:@abe/mq@^0.1"; import { deep } from "./deep.ts";
               export const said: string = greet + deep; export { ConfigError };`,
            ).replace("lines = [];", "lines = []; said = said; error = ConfigError;"),
            "/src/deep.ts": `export const deep: string = "!";`,
          },
        },
      }),
      ...packageOf("@acme/greet", {
        "1.5.0": {
          exports: { "./polite": "./polite.ts" },
          files: { "/polite.ts": `export const greet: string = "hello";` },
        },
      }),
    });
    const variables = { JSR_URL: `${server.origin}/`, ABE_MQ_PLUGIN_URL: "jsr:@acme/mq-thing@1/redis" };
    const backend = await discover(variables, { folder: folder.path, ...checked });
    assert.equal(backend.said, "hello!");
    assert.equal(backend.error, ConfigError);
    // Each package's metadata once.
    assert.equal(server.requests.filter((path) => path.endsWith("/meta.json")).length, 2);
  });

  it("is refused when a file is not what the manifest says", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const files = { ...mod("x", `import "./part.ts";`), "/part.ts": "export {};" };
    const wrong = `sha256-${sha256("another")}`;
    const cases: [Version, string, string][] = [
      [{ files, checksums: { "/mod.ts": wrong } }, "mod.ts", "manifest"],
      [{ files, checksums: { "/part.ts": wrong } }, "part.ts", "manifest"],
      [{ files, checksums: { "/part.ts": "nonsense" } }, "part.ts", "must be a digest"],
      [{ files, exports: "../../other/1.0.0/mod.ts" }, "jsr:@acme/mq-thing", "no file of its manifest"],
      [{ files, exports: "https://elsewhere.example/mod.ts" }, "jsr:@acme/mq-thing", "no file of its manifest"],
      [{ files, exports: "./absent.ts" }, "jsr:@acme/mq-thing", "no file of its manifest"],
    ];
    for (const [version, ...says] of cases) {
      await using server = await serve(packageOf("@acme/mq-thing", { "1.0.0": version }));
      const variables = { JSR_URL: server.origin, ABE_MQ_PLUGIN_URL: "jsr:@acme/mq-thing@1" };
      const code = says[1] === "must be a digest" ? "config" : "plugin_refused";
      await rejects(discover(variables, { folder: folder.path, ...checked }), code, ...says);
    }
    // A file that the package has and its manifest does not name.
    await using server = await serve({
      ...packageOf("@acme/mq-thing", { "1.0.0": { files: mod("x", `import "./hidden.ts";`) } }),
      "/@acme/mq-thing/1.0.0/hidden.ts": "export {};",
    });
    const variables = { JSR_URL: server.origin, ABE_MQ_PLUGIN_URL: "jsr:@acme/mq-thing@1" };
    await rejects(
      discover(variables, { folder: folder.path, ...checked }),
      "plugin_refused",
      "hidden.ts",
      "does not list it",
    );
  });

  it("is refused with metadata that is none, and a registry that is none", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/@acme/a/meta.json": "<html>",
      "/@acme/b/meta.json": "[]",
      "/@acme/c/meta.json": "null",
    });
    const load = (specifier: string, JSR_URL: string) =>
      discover({ JSR_URL, ABE_MQ_PLUGIN_URL: specifier }, { folder: folder.path, ...checked });
    await rejects(load("jsr:@acme/a", server.origin), "plugin_failed", "metadata");
    await rejects(load("jsr:@acme/b", server.origin), "plugin_not_found", "no version fits");
    await rejects(load("jsr:@acme/c", server.origin), "plugin_failed", "metadata");
    await rejects(load("jsr:@acme/c", "nowhere"), "config", "JSR_URL");
    await rejects(load("jsr:@acme/c", "http://registry.example/"), "plugin_refused", "use `https:`");
  });

  it("is locked to its version and starts without the registry", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const server = await serve(
      packageOf("@acme/mq-thing", {
        "1.0.0": { files: { ...mod("1.0.0", `import "./part.ts";`), "/part.ts": "export {};" } },
      }),
    );
    const variables = { JSR_URL: server.origin, ABE_MQ_PLUGIN_URL: "jsr:@acme/mq-thing@^1" };
    const locked = await lockPlugins({ baseUrl: folder.path, env: envFrom(variables) });
    assert.equal(locked.modules.size, 2);
    const options = { folder: folder.path, frozen: true };
    assert.equal((await discover(variables, options)).name, "1.0.0");
    for (const [path, answer] of Object.entries(packageOf("@acme/mq-thing", { "1.1.0": { files: mod("1.1.0") } }))) {
      server.answers.set(path, answer);
    }
    assert.equal((await discover(variables, options)).name, "1.0.0");
    await rejects(
      discover({ ...variables, ABE_MQ_PLUGIN_URL: "jsr:@acme/mq-thing@1.1.0" }, options),
      "plugin_refused",
      "frozen",
    );
    await server[Symbol.asyncDispose]();
    assert.equal((await discover(variables, options)).name, "1.0.0");
    await rejects(
      discover(variables, { ...options, cacheDir: join(folder.path, "empty") }),
      "plugin_not_found",
      "cannot be reached",
    );
  });

  it("takes a digest of its entry, and is pinned to the URL of its version", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const files = mod("pinned");
    await using server = await serve(packageOf("@acme/mq-thing", { "1.0.0": { files } }));
    const env = { JSR_URL: server.origin };
    const digest = `sha256-${sha256(files["/mod.ts"])}`;
    const options = { folder: folder.path };
    assert.equal(
      (await discover({ ...env, ABE_MQ_PLUGIN_URL: `jsr:@acme/mq-thing@1#${digest}` }, options)).name,
      "pinned",
    );
    const other = `jsr:@acme/mq-thing@1#sha256-${sha256("other")}`;
    await rejects(discover({ ...env, ABE_MQ_PLUGIN_URL: other }, options), "plugin_refused", sha256("other"));
    const pinned = await pinPlugin("jsr:@acme/mq-thing@1", { env: envFrom(env), baseUrl: folder.path });
    assert.match(pinned, /\/@acme\/mq-thing\/1\.0\.0\/mod\.ts#sha256-/);
    assert.equal((await discover({ ...env, ABE_MQ_PLUGIN_URL: pinned }, options)).name, "pinned");
  });

  it("from a registry with TLS warns once that it is not pinned", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const answers = packageOf("@acme/mq-warned", { "1.0.0": { files: mod("warned") } });
    const original = globalThis.fetch;
    globalThis.fetch = ((input: URL | string) => {
      const body = answers[new URL(String(input)).pathname];
      return Promise.resolve(
        new Response(typeof body === "string" ? body : null, { status: body === undefined ? 404 : 200 }),
      );
    }) as typeof fetch;
    try {
      const logger = recordingLogger();
      const variables = { ABE_MQ_PLUGIN_URL: "jsr:@acme/mq-warned@1" };
      for (let n = 0; n < 3; n++) {
        assert.equal((await discover(variables, { folder: folder.path, ...checked, logger })).name, "warned");
      }
      const warnings = logger.lines.filter(({ level }) => level === "warn");
      assert.equal(warnings.length, 1);
      assert.match(warnings[0]?.message ?? "", /jsr:@acme\/mq-warned.*plugins lock/);
    } finally {
      globalThis.fetch = original;
    }
  });
});
