import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { envFrom } from "../../core/env.ts";
import { listPlugins, lockPlugins, pinPlugin, verifyPlugins } from "../../plugins/manage.ts";
import { formatDigest, sha256 } from "../../plugins/remote/integrity.ts";
import { discover, recordingLogger, rejects, temporaryFolder, timeout } from "./helpers.ts";
import { lineBackend, redirect, serve } from "./server.ts";

const digestOf = (code: string) => formatDigest(sha256(code));

const entryCode = lineBackend("locked", `import { part } from "./part.js"; export { part };`);

describe("a digest", () => {
  it("lets exactly the bytes that were hashed run, from the URL, the map, or the option", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const code = lineBackend("pinned");
    await using server = await serve({ "/mod.js": code });
    const url = `${server.origin}/mod.js`;
    const hex = `sha256-${sha256(code)}`;
    const options = { folder: folder.path };
    assert.equal((await discover({ ABE_MQ_PLUGIN_URL: `${url}#${digestOf(code)}` }, options)).name, "pinned");
    assert.equal(
      (await discover({ ABE_MQ_PLUGIN_URL: `${url}#${encodeURIComponent(digestOf(code))}` }, options)).name,
      "pinned",
    );
    assert.equal((await discover({ ABE_MQ_PLUGIN_URL: `${url}#${hex}` }, options)).name, "pinned");
    assert.equal((await discover({ ABE_MQ_PLUGIN_URL: url }, { ...options, integrity: hex })).name, "pinned");
    assert.equal(
      (await discover({ ABE_MQ_PLUGIN_URL: url }, { ...options, integrity: { [url]: hex } })).name,
      "pinned",
    );
    const map = { imports: { x: url }, integrity: { [url]: digestOf(code) } };
    await writeFile(join(folder.path, "map.json"), JSON.stringify(map));
    const byMap = { ABE_MQ_PLUGINS: "map.json", MESSAGE_QUEUE_BACKEND: "x" };
    assert.equal((await discover(byMap, options)).name, "pinned");

    server.answers.set("/mod.js", `${code} `);
    const fresh = { ...options, cacheDir: join(folder.path, "fresh") };
    const refusals: [Record<string, string>, object][] = [
      [{ ABE_MQ_PLUGIN_URL: `${url}#${digestOf(code)}` }, {}],
      [{ ABE_MQ_PLUGIN_URL: url }, { integrity: hex }],
      [{ ABE_MQ_PLUGIN_URL: url }, { integrity: { [url]: hex } }],
      [byMap, {}],
    ];
    for (const [variables, more] of refusals) {
      await rejects(discover(variables, { ...fresh, ...more }), "plugin_refused", url, sha256(code), "sha256");
    }
    // The bytes that were pinned are still in the first cache.
    assert.equal((await discover({ ABE_MQ_PLUGIN_URL: `${url}#${digestOf(code)}` }, options)).name, "pinned");
  });

  it("by SHA-384 and SHA-512 holds too", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const code = lineBackend("long");
    await using server = await serve({ "/mod.js": code });
    const { createHash } = await import("node:crypto");
    for (const algorithm of ["sha384", "sha512"]) {
      const digest = createHash(algorithm).update(code).digest("base64");
      const good = `${server.origin}/mod.js#${algorithm}-${digest}`;
      assert.equal((await discover({ ABE_MQ_PLUGIN_URL: good }, { folder: folder.path })).name, "long");
      const other = createHash(algorithm).update(`${code} `).digest("base64");
      await rejects(
        discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js#${algorithm}-${other}` }, { folder: folder.path }),
        "plugin_refused",
        algorithm,
      );
    }
  });

  it("with a slip in it is refused and never left out", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("pinned") });
    const wrong = ["sha256-", "sha256-abc", "sha265-AAAA", "md5-AAAA", "main", `sha256-${"0".repeat(63)}`, "%"];
    for (const fragment of wrong) {
      await rejects(
        discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js#${fragment}` }, { folder: folder.path }),
        "config",
        "digest",
      );
    }
    assert.deepEqual(server.requests, []);
  });

  it("of an entry vouches for what it imports only through a lock", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": entryCode, "/part.js": "export const part = 1;" });
    const pinned = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js#${digestOf(entryCode)}` };
    const options = { folder: folder.path };
    await rejects(discover(pinned, options), "plugin_refused", "/part.js", "only through a lock", "plugins lock");
    await lockPlugins({ baseUrl: folder.path, env: envFrom(pinned) });
    assert.equal((await discover(pinned, options)).name, "locked");
  });
});

describe("the lock", () => {
  it("records every URL of the graph with its digest, sorted, without running anything", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const code = `import "./deep/b.js"; import data from "./data.json" with { type: "json" }; ${entryCode}
      globalThis.ranWhileLocking = data;`;
    await using server = await serve({
      "/latest": redirect("/mod.js"),
      "/mod.js": code,
      "/part.js": "export const part = 1;",
      "/deep/b.js": `export { part } from "../part.js";`,
      "/data.json": "{}",
    });
    const env = envFrom({ ABE_MQ_PLUGIN_URL: `${server.origin}/latest` });
    const locked = await lockPlugins({ baseUrl: folder.path, env });
    assert.equal("ranWhileLocking" in globalThis, false);
    assert.equal(locked.path, join(folder.path, "abe-mq.lock.json"));
    const text = await readFile(locked.path, "utf8");
    assert.deepEqual(JSON.parse(text), {
      version: 1,
      jsr: {},
      redirects: { [`${server.origin}/latest`]: `${server.origin}/mod.js` },
      modules: {
        [`${server.origin}/data.json`]: digestOf("{}"),
        [`${server.origin}/deep/b.js`]: digestOf(`export { part } from "../part.js";`),
        [`${server.origin}/mod.js`]: digestOf(code),
        [`${server.origin}/part.js`]: digestOf("export const part = 1;"),
      },
    });
    const urls = Object.keys(JSON.parse(text).modules);
    assert.deepEqual(urls, urls.toSorted());
    await lockPlugins({ baseUrl: folder.path, env });
    assert.equal(await readFile(locked.path, "utf8"), text);
  });

  it("is checked on every load, for the entry and for what it imports", { timeout }, async () => {
    for (const changed of ["/mod.js", "/part.js"]) {
      await using folder = await temporaryFolder();
      await using server = await serve({ "/mod.js": entryCode, "/part.js": "export const part = 1;" });
      const variables = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` };
      await lockPlugins({ baseUrl: folder.path, env: envFrom(variables) });
      const options = { folder: folder.path };
      assert.equal((await discover(variables, options)).name, "locked");
      server.answers.set(changed, `${server.answers.get(changed)}\n`);
      await rejects(
        discover(variables, { ...options, cacheDir: join(folder.path, "fresh") }),
        "plugin_refused",
        changed,
        "abe-mq.lock.json",
      );
    }
  });

  it("is enough to start without any server, once the cache is filled", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const server = await serve({ "/mod.js": entryCode, "/part.js": "export const part = 1;" });
    const variables = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` };
    await lockPlugins({ baseUrl: folder.path, env: envFrom(variables) });
    await discover(variables, { folder: folder.path });
    const asked = server.requests.length;
    await discover(variables, { folder: folder.path });
    assert.equal(server.requests.length, asked);
    await server[Symbol.asyncDispose]();
    assert.equal((await discover(variables, { folder: folder.path })).name, "locked");
  });

  it("that is wrong is refused with its path", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": entryCode, "/part.js": "export const part = 1;" });
    const url = `${server.origin}/mod.js`;
    const path = join(folder.path, "abe-mq.lock.json");
    const wrong: [string, RegExp][] = [
      ["{", /not JSON/],
      ["[]", /version 1/],
      [`{"version":2}`, /version 1/],
      [`{"version":1,"modules":{"${url}":"nothing"}}`, /must be a digest/],
      [`{"version":1,"modules":{"nowhere":"${digestOf("")}"}}`, /not a URL/],
      [`{"version":1,"modules":[1]}`, /must be a string/],
    ];
    for (const [text, says] of wrong) {
      await writeFile(path, text);
      await rejects(discover({ ABE_MQ_PLUGIN_URL: url }, { folder: folder.path }), "config", path, says);
    }
    await writeFile(path, JSON.stringify({ version: 1, modules: { [url]: digestOf("another file") } }));
    await rejects(discover({ ABE_MQ_PLUGIN_URL: url }, { folder: folder.path }), "plugin_refused", url, path);
    await rejects(
      discover({ ABE_MQ_PLUGIN_URL: url }, { folder: folder.path, lock: "elsewhere.json" }),
      "config",
      "elsewhere.json does not exist",
    );
  });

  it("frozen refuses everything that is not in it", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/mod.js": entryCode,
      "/part.js": "export const part = 1;",
      "/other.js": lineBackend("other"),
    });
    const variables = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` };
    const other = { ABE_MQ_PLUGIN_URL: `${server.origin}/other.js` };
    const options = { folder: folder.path };
    await rejects(
      discover({ ...variables, ABE_MQ_PLUGIN_FROZEN: "1" }, options),
      "config",
      "does not exist",
      "plugins lock",
    );
    await lockPlugins({ baseUrl: folder.path, env: envFrom(variables) });
    assert.equal((await discover({ ...variables, ABE_MQ_PLUGIN_FROZEN: "1" }, options)).name, "locked");
    assert.equal((await discover(other, options)).name, "other");
    await rejects(discover({ ...other, ABE_MQ_PLUGIN_FROZEN: "1" }, options), "plugin_refused", "/other.js", "frozen");
    await rejects(discover(other, { ...options, frozen: true }), "plugin_refused", "/other.js", "frozen");
    // A digest of its own does not put it into the lock.
    const pinned = `${other.ABE_MQ_PLUGIN_URL}#${digestOf(lineBackend("other"))}`;
    await rejects(discover({ ABE_MQ_PLUGIN_URL: pinned }, { ...options, frozen: true }), "plugin_refused", "frozen");
  });

  it("is verified against the servers, past the cache", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/latest.js": redirect("/mod.js"),
      "/mod.js": entryCode,
      "/part.js": "export const part = 1;",
    });
    const options = { baseUrl: folder.path, env: envFrom({ ABE_MQ_PLUGIN_URL: `${server.origin}/latest.js` }) };
    await lockPlugins(options);
    assert.deepEqual((await verifyPlugins(options)).problems, []);
    assert.equal((await verifyPlugins(options)).checked, 3);
    server.answers.set("/part.js", "export const part = 2;");
    server.answers.set("/latest.js", redirect("/part.js"));
    const { problems } = await verifyPlugins(options);
    assert.deepEqual(problems.map(({ url }) => url).toSorted(), [
      `${server.origin}/latest.js`,
      `${server.origin}/part.js`,
    ]);
  });
});

describe("the list of plugins", () => {
  it("names each with its place, what is shadowed, and why one cannot be loaded", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("x") });
    await writeFile(join(folder.path, "map.json"), JSON.stringify({ imports: { memory: `${server.origin}/none.js` } }));
    const list = await listPlugins({
      baseUrl: folder.path,
      cacheDir: join(folder.path, "cache"),
      logger: recordingLogger(),
      env: envFrom({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js`, ABE_MQ_PLUGINS: "map.json" }),
      load: true,
    });
    assert.deepEqual(list.map(({ name, from, shadowed, error }) => [name, from, shadowed, error === undefined]), [
      ["ABE_MQ_PLUGIN_URL", "variable", false, true],
      ["memory", "map", false, false],
      ...["memory", ...[]].map((name) => [name, "built-in", true, true]),
      ...list.slice(3).map(({ name }) => [name, "built-in", false, true]),
    ]);
    assert.match(list[1]?.error ?? "", /none\.js/);
  });
});

describe("pinning", () => {
  it("writes the digest behind the URL, and what it wrote loads", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const code = lineBackend("pinned");
    await using server = await serve({ "/mod.js": code });
    const pinned = await pinPlugin(`${server.origin}/mod.js`, { env: envFrom({}), baseUrl: folder.path });
    assert.equal(pinned, `${server.origin}/mod.js#${digestOf(code)}`);
    assert.equal((await discover({ ABE_MQ_PLUGIN_URL: pinned }, { folder: folder.path })).name, "pinned");
  });
});
