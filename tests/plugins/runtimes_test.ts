import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { formatDigest, sha256 } from "../../plugins/remote/integrity.ts";
import { type Command, type Result, run, type Runtime, runtimeCommand, runtimes } from "../process.ts";
import { temporaryFolder, timeout } from "./helpers.ts";
import { lineBackend, redirect, serve } from "./server.ts";

const app = fileURLToPath(new URL("./fixtures/app.ts", import.meta.url));

const none = {
  MESSAGE_QUEUE_BACKEND: undefined,
  QUEUE_BACKEND: undefined,
  ABE_MQ_PLUGIN_URL: undefined,
  ABE_MQ_PLUGINS: undefined,
  ABE_MQ_CACHE_DIR: undefined,
};

function start(
  runtime: Runtime,
  cwd: string,
  env: Record<string, string | undefined>,
  permissions?: readonly string[],
): Promise<Result> {
  const variables = { ...none, DENO_DIR: join(cwd, "deno"), XDG_CACHE_HOME: join(cwd, "caches"), ...env };
  return run(runtimeCommand(runtime, app, { cwd, env: variables, ...(permissions !== undefined && { permissions }) }));
}

const names = "MESSAGE_QUEUE_BACKEND,ABE_MQ_PLUGIN_URL,ABE_MQ_PLUGINS";

const typescript = `
interface Line { readonly payload: object }
export default class Typed {
  #lines: Line[] = [];
  static fromEnv(): Typed { return new Typed(); }
  async publish(_key: string, payload: object): Promise<void> { this.#lines.push({ payload }); }
  async *consume(): AsyncGenerator<object> { for (const { payload } of this.#lines.splice(0)) yield payload; }
}
`;

describe("an application", () => {
  for (const runtime of runtimes) {
    it(`loads its backend by ABE_MQ_PLUGIN_URL alone under ${runtime}, and ends by itself`, { timeout }, async () => {
      await using folder = await temporaryFolder();
      await using server = await serve({ "/mod.ts": typescript });
      const result = await start(runtime, folder.path, { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.ts` });
      assert.equal(result.code, 0, result.output);
      assert.deepEqual(JSON.parse(result.stdout), { got: [{ id: 1 }, { id: 2 }], backend: "Typed" });
      assert.equal(result.stderr.replaceAll(/^.*Download .*\n/gm, ""), "");
    });

    it(`ends with one message and an exit code under ${runtime} when the server has gone`, { timeout }, async () => {
      await using folder = await temporaryFolder();
      const server = await serve({});
      await server[Symbol.asyncDispose]();
      const result = await start(runtime, folder.path, { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.ts` });
      assert.equal(result.code, 1, result.output);
      assert.match(result.stderr, /^plugin_not_found: Cannot load http:\/\/127\.0\.0\.1:\d+\/\w+\/mod\.ts/m);
      assert.equal(result.stdout, "");
    });

    it(`is loaded with a digest in the URL under ${runtime}, or refused`, { timeout }, async () => {
      await using folder = await temporaryFolder();
      await using server = await serve({ "/mod.ts": typescript });
      const url = `${server.origin}/mod.ts#${formatDigest(sha256(typescript))}`;
      const good = await start(runtime, folder.path, { ABE_MQ_PLUGIN_URL: url });
      assert.equal(good.code, 0, good.output);
      assert.deepEqual(JSON.parse(good.stdout).backend, "Typed");
      const bad = await start(runtime, folder.path, {
        ABE_MQ_PLUGIN_URL: url.replace("sha256-", "sha256-AAAA").slice(0, -5) + "=",
      });
      assert.equal(bad.code, 1, bad.output);
      assert.match(bad.stderr, /^(?:plugin_refused|config): /m);
    });
  }
});

describe("a backend over https", () => {
  const certificate = fileURLToPath(new URL("./fixtures/ca.crt", import.meta.url));
  const trusts = { DENO_CERT: certificate, NODE_EXTRA_CA_CERTS: certificate };

  for (const runtime of runtimes) {
    it(`works under ${runtime}, and warns once how to pin it`, { timeout }, async () => {
      await using folder = await temporaryFolder();
      await using server = await serve({ "/mod.ts": typescript }, { tls: true });
      const url = `${server.origin}/mod.ts`;
      const env = { ...trusts, ABE_MQ_PLUGIN_URL: url };
      const result = await start(runtime, folder.path, env);
      assert.equal(result.code, 0, result.output);
      assert.equal(JSON.parse(result.stdout).backend, "Typed");
      const warnings = result.stderr.split("\n").filter((line) => line.includes("warning"));
      assert.equal(warnings.length, 1, result.stderr);
      assert.match(warnings[0] ?? "", /is not pinned.*plugins lock/);
      const modules = { [url]: formatDigest(sha256(typescript)) };
      await writeFile(join(folder.path, "abe-mq.lock.json"), JSON.stringify({ version: 1, modules }));
      const locked = await start(runtime, folder.path, { ...env, ABE_MQ_PLUGIN_FROZEN: "1" });
      assert.equal(locked.code, 0, locked.output);
      assert.equal(locked.stderr, "");
    });

    it(
      `is refused under ${runtime} when it leads down to http, or the server is not who it says`,
      { timeout },
      async () => {
        await using folder = await temporaryFolder();
        await using plain = await serve({ "/mod.ts": typescript });
        await using server = await serve({ "/mod.ts": redirect(`${plain.origin}/mod.ts`) }, { tls: true });
        const env = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.ts` };
        // A list of hosts makes the loader check on Deno too.
        const down = await start(runtime, folder.path, {
          ...trusts,
          ...env,
          ABE_MQ_PLUGIN_HOSTS: "localhost,127.0.0.1",
        });
        assert.equal(down.code, 1, down.output);
        assert.match(down.stderr, /^plugin_refused: .*from `https:` down to `http:`/m);
        assert.deepEqual(plain.requests, []);
        const stranger = await start(runtime, folder.path, env);
        assert.equal(stranger.code, 1, stranger.output);
        assert.match(stranger.stderr, /^plugin_not_found: /m);
      },
    );
  }
});

describe("an application on Deno", () => {
  it("without --allow-import is told the flag, and works with it", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("line") });
    const env = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` };
    const allowed = [`--allow-env=${names}`];
    const refused = await start("deno", folder.path, env, allowed);
    assert.equal(refused.code, 1, refused.output);
    assert.match(refused.stderr, new RegExp(`^plugin_refused: .*--allow-import=${server.host}`, "m"));
    assert.deepEqual(server.requests, []);
    const result = await start("deno", folder.path, env, [...allowed, `--allow-import=${server.host}`]);
    assert.equal(result.code, 0, result.output);
  });

  it("is told the flag for a host that a module imports from", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using other = await serve({ "/other.js": "export const other = 1;" });
    await using server = await serve({ "/mod.js": lineBackend("line", `import "${other.origin}/other.js";`) });
    const env = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` };
    const refused = await start("deno", folder.path, env, [`--allow-env=${names}`, `--allow-import=${server.host}`]);
    assert.equal(refused.code, 1, refused.output);
    assert.match(refused.stderr, new RegExp(`^plugin_refused: .*--allow-import=${other.host}`, "m"));
  });

  it("with a digest is told each flag that is missing", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const code = lineBackend("line");
    await using server = await serve({ "/mod.js": code });
    const cache = join(folder.path, "cache");
    const env = {
      ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js#${formatDigest(sha256(code))}`,
      ABE_MQ_CACHE_DIR: cache,
    };
    const permissions = [`--allow-env=${names},ABE_MQ_CACHE_DIR`];
    const first = await start("deno", folder.path, env, permissions);
    assert.match(first.stderr, /^plugin_refused: .*--allow-read=\S+\/cache --allow-write=\S+\/cache/m);
    permissions.push(`--allow-read=${cache}`, `--allow-write=${cache}`);
    const second = await start("deno", folder.path, env, permissions);
    assert.match(second.stderr, new RegExp(`^plugin_refused: .*--allow-net=${server.host}`, "m"));
    permissions.push(`--allow-net=${server.host}`);
    const third = await start("deno", folder.path, env, permissions);
    assert.equal(third.code, 0, third.output);
  });

  it("needs to read nothing but the variables that select", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const result = await start("deno", folder.path, { MESSAGE_QUEUE_BACKEND: "memory" }, [`--allow-env=${names}`]);
    assert.equal(result.code, 0, result.output);
    assert.equal(JSON.parse(result.stdout).backend, "MemoryBackend");
    assert.equal(result.stderr, "");
  });

  it("is told the flag for a variable that selects, and never gets memory instead", { timeout }, async () => {
    await using folder = await temporaryFolder();
    for (const name of names.split(",")) {
      const others = names.split(",").filter((each) => each !== name);
      const result = await start("deno", folder.path, {}, [`--allow-env=${others.join(",")}`]);
      assert.equal(result.code, 1, result.output);
      assert.match(result.stderr, new RegExp(`^config: .*${name} may not be read: .*--allow-env=${name}`, "m"));
    }
  });

  it("never prompts on a terminal", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("line") });
    const env = { MESSAGE_QUEUE_BACKEND: undefined, ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` };
    for (const permissions of [[], [`--allow-env=${names}`]]) {
      const result = await run(
        onTerminal(runtimeCommand("deno", app, { cwd: folder.path, env: { ...none, ...env }, permissions })),
      );
      assert.ok(!result.timedOut, result.output);
      assert.match(result.output, /(?:config|plugin_refused): .*--allow-(?:env|import)=/);
      assert.ok(!/Allow\?|[\u250c\u250f]|requests/.test(result.output), result.output);
    }
    const result = await run(
      onTerminal(runtimeCommand("deno", app, {
        cwd: folder.path,
        env: { ...none, MESSAGE_QUEUE_BACKEND: "memory" },
        permissions: [`--allow-env=${names}`],
      })),
    );
    assert.match(result.output, /MemoryBackend/);
    assert.ok(!/Allow\?|[\u250c\u250f]/.test(result.output), result.output);
  });
});

// A pseudo-terminal by util-linux's `script`; without `--no-prompt`, as a person would start it.
function onTerminal({ command, args, ...rest }: Command): Command {
  assert.ok(existsSync("/usr/bin/script"), "`script` of util-linux makes the pseudo-terminal");
  const words = [command, ...args.filter((arg) => arg !== "--no-prompt")];
  const line = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  return { command: "/usr/bin/script", args: ["-qec", line, "/dev/null"], ...rest };
}
