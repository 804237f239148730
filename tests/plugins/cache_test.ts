import assert from "node:assert/strict";
import { chmod, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { envFrom } from "../../core/env.ts";
import { lockPlugins } from "../../plugins/manage.ts";
import { run, runtimeCommand, thisRuntime } from "../process.ts";
import { discover, recordingLogger, rejects, type TemporaryFolder, temporaryFolder, timeout } from "./helpers.ts";
import { lineBackend, serve, type TestServer } from "./server.ts";

const app = fileURLToPath(new URL("./fixtures/app.ts", import.meta.url));

interface Filled {
  readonly folder: TemporaryFolder;
  readonly server: TestServer;
  readonly variables: { readonly ABE_MQ_PLUGIN_URL: string };
  readonly bodies: string;
  readonly graphs: string;
}

/** A locked plugin of two modules, loaded once so that the cache is filled. */
async function fill(name: string): Promise<Filled & AsyncDisposable> {
  const folder = await temporaryFolder();
  const server = await serve({
    "/mod.js": lineBackend(name, `import { part } from "./part.js"; export { part };`),
    "/part.js": `export const part = "${name}";`,
  });
  const variables = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` };
  await lockPlugins({ baseUrl: folder.path, env: envFrom(variables) });
  const loaded = await discover(variables, { folder: folder.path });
  assert.equal(loaded.name, name);
  const cache = join(folder.path, "cache");
  return {
    folder,
    server,
    variables,
    bodies: join(cache, "bodies"),
    graphs: join(cache, "graphs"),
    async [Symbol.asyncDispose](): Promise<void> {
      await server[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name)).toSorted();
}

describe("the cache", () => {
  it("is this user's alone, and made so where it is not", { timeout }, async () => {
    await using filled = await fill("private");
    const cache = join(filled.folder.path, "cache");
    const modes = async () => {
      const folders = [cache, filled.bodies, filled.graphs];
      return await Promise.all(folders.map(async (folder) => ((await stat(folder)).mode & 0o777).toString(8)));
    };
    assert.deepEqual(await modes(), ["700", "700", "700"]);
    for (const file of await filesIn(cache)) assert.equal((await stat(file)).mode & 0o077, 0, file);
    await chmod(cache, 0o777);
    await chmod(filled.graphs, 0o755);
    await discover(filled.variables, { folder: filled.folder.path });
    assert.deepEqual(await modes(), ["700", "700", "700"]);
  });

  it("finds out a body that was changed, and fetches it again", { timeout }, async () => {
    await using filled = await fill("poisoned");
    const logger = recordingLogger();
    for (const file of await filesIn(filled.bodies)) {
      await writeFile(file, `text/javascript\n${lineBackend("evil")}`);
    }
    const backend = await discover(filled.variables, { folder: filled.folder.path, logger });
    assert.equal(backend.name, "poisoned");
    assert.equal(logger.lines.filter(({ message }) => /not what its name says/.test(message)).length, 2);
    for (const file of await filesIn(filled.bodies)) assert.ok(!(await readFile(file, "utf8")).includes("evil"));
  });

  it("refuses a body that was changed when there is no server to fetch it from", { timeout }, async () => {
    await using filled = await fill("offline");
    for (const file of await filesIn(filled.bodies)) await writeFile(file, `text/javascript\n${lineBackend("evil")}`);
    await filled.server[Symbol.asyncDispose]();
    await rejects(
      discover(filled.variables, { folder: filled.folder.path }),
      "plugin_not_found",
      "/mod.js",
      "cannot be reached",
    );
  });

  it("finds out a file ready to run that was changed, and writes it anew", { timeout }, async () => {
    await using filled = await fill("ready");
    const before = await filesIn(filled.graphs);
    const texts = await Promise.all(before.map((file) => readFile(file, "utf8")));
    for (const file of before) await writeFile(file, lineBackend("evil"));
    const logger = recordingLogger();
    await discover(filled.variables, { folder: filled.folder.path, logger });
    assert.deepEqual(await filesIn(filled.graphs), before);
    assert.deepEqual(await Promise.all(before.map((file) => readFile(file, "utf8"))), texts);
    assert.equal(logger.lines.filter(({ message }) => /was changed/.test(message)).length, before.length);
  });

  it("replaces a link in place of a file, and leaves alone what it led to", { timeout }, async () => {
    await using filled = await fill("linked");
    const outside = join(filled.folder.path, "outside.txt");
    await writeFile(outside, "untouched");
    const files = [...await filesIn(filled.bodies), ...await filesIn(filled.graphs)];
    for (const file of files) {
      await rm(file);
      await symlink(outside, file);
    }
    assert.equal((await discover(filled.variables, { folder: filled.folder.path })).name, "linked");
    assert.equal(await readFile(outside, "utf8"), "untouched");
    for (const file of files) assert.notEqual(await readFile(file, "utf8"), "untouched");
  });

  it("survives a crash in the middle of writing", { timeout }, async () => {
    await using filled = await fill("crashed");
    const [body = ""] = await filesIn(filled.bodies);
    const whole = await readFile(body);
    await writeFile(body, whole.subarray(0, 20));
    await writeFile(join(filled.bodies, ".1-half.tmp"), whole.subarray(0, 10));
    for (const file of await filesIn(filled.graphs)) await writeFile(file, "");
    assert.equal((await discover(filled.variables, { folder: filled.folder.path })).name, "crashed");
    assert.deepEqual(await readFile(body), whole);
  });

  it("serves many processes that start at once", { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/mod.js": lineBackend("many", `import "./0.js";`),
      ...Object.fromEntries(
        Array.from({ length: 20 }, (_, n) => [`/${n}.js`, n < 19 ? `import "./${n + 1}.js";` : "export {};"]),
      ),
    });
    const env = {
      MESSAGE_QUEUE_BACKEND: undefined,
      QUEUE_BACKEND: undefined,
      ABE_MQ_PLUGINS: undefined,
      ABE_MQ_PLUGIN_HOSTS: server.host,
      ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js`,
      ABE_MQ_CACHE_DIR: join(folder.path, "cache"),
    };
    const command = runtimeCommand(thisRuntime, app, { cwd: folder.path, env });
    const results = await Promise.all(Array.from({ length: 6 }, () => run(command)));
    for (const result of results) {
      assert.equal(result.code, 0, result.output);
      assert.deepEqual(JSON.parse(result.stdout).got, [{ id: 1 }, { id: 2 }]);
    }
    assert.deepEqual((await filesIn(folder.path)).filter((file) => file.endsWith(".tmp")), []);
    assert.equal((await readdir(join(folder.path, "cache/graphs"))).length, 1);
  });

  it("says where it cannot be written, and what to set", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("x") });
    const integrity = { "https://unused.invalid/": `sha256-${"0".repeat(64)}` };
    await writeFile(join(folder.path, "file"), "");
    for (const cacheDir of [join(folder.path, "file/cache"), "/proc/abe-mq"]) {
      await rejects(
        discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` }, { folder: folder.path, cacheDir, integrity }),
        "storage",
        cacheDir,
        "ABE_MQ_CACHE_DIR",
      );
    }
    await rejects(
      discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` }, {
        folder: folder.path,
        cacheDir: join(folder.path, "file"),
        integrity,
      }),
      "plugin_refused",
      "no folder",
    );
  });

  it("is where the variables say", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("x") });
    const integrity = { "https://unused.invalid/": `sha256-${"0".repeat(64)}` };
    const load = (variables: Record<string, string>) =>
      discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js`, ...variables }, {
        folder: folder.path,
        integrity,
        cacheDir: undefined as never,
      });
    await load({ ABE_MQ_CACHE_DIR: join(folder.path, "named") });
    await load({ XDG_CACHE_HOME: join(folder.path, "xdg"), HOME: join(folder.path, "home") });
    await load({ HOME: join(folder.path, "home") });
    const found = await Promise.all(
      ["named", "xdg/abe-mq", "home/.cache/abe-mq"].map((path) => readdir(join(folder.path, path))),
    );
    for (const entries of found) assert.deepEqual(entries.toSorted(), ["bodies", "graphs"]);
  });
});
