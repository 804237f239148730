import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { serve } from "../plugins/server.ts";
import { thisRuntime } from "../process.ts";
import { Place } from "./helpers.ts";

const timeout = 120_000;

const plugin = `
export default class {
  capabilities = { groups: true };
  static fromEnv() { return new this(); }
  async publish() {}
  async *consume() {}
}
`;

function writePlugin(place: Place, name = "plugin.ts"): void {
  writeFileSync(join(place.folder, name), plugin);
}

async function readMap(place: Place): Promise<unknown> {
  return JSON.parse(await readFile(join(place.folder, "plugins/import_map.json"), "utf8"));
}

describe("mq plugins", () => {
  it("adds plugins to the map, and lists what loads and what does not, and why", { timeout }, async () => {
    using place = new Place({});
    writePlugin(place);
    const unnamed = await place.mq(["plugins", "add", "./plugin.ts"]);
    assert.deepEqual([unnamed.code, unnamed.stderr], [
      2,
      "error: Cannot tell a name from ./plugin.ts: give one by --name\n",
    ]);
    assert.equal((await place.mq(["plugins", "add", "./plugin.ts", "--name", "mine"])).code, 0);
    assert.equal((await place.mq(["plugins", "add", "npm:@acme/abe-mq-nats@^1"])).code, 0);
    assert.deepEqual(await readMap(place), { imports: { mine: "../plugin.ts", nats: "npm:@acme/abe-mq-nats@^1" } });
    const taken = await place.mq(["plugins", "add", "./other.ts", "--name", "mine"]);
    assert.match(taken.stderr, /Cannot add mine: .* maps it to something else; --force replaces it/);

    const list = await place.json(["plugins", "list"]) as {
      name: string;
      from: string;
      loadable: boolean;
      error?: string;
    }[];
    const byName = Object.fromEntries(list.map((each) => [each.name, each]));
    assert.deepEqual([byName["mine"]?.from, byName["mine"]?.loadable], ["map", true]);
    assert.deepEqual([byName["memory"]?.from, byName["memory"]?.loadable], ["built-in", true]);
    assert.equal(byName["nats"]?.loadable, false);
    assert.match(byName["nats"]?.error ?? "", /npm install @acme\/abe-mq-nats/);
    const shown = await place.mq(["plugins", "list", "--no-load"]);
    assert.match(shown.stdout, /^name +from +specifier *\nmine +map +file:.*plugin\.ts\n/);
    assert.equal(
      (await place.mq(["groups", "list", "--backend", "mine"])).code,
      1,
      "the backend has no list of groups",
    );
  });

  it("adds from a URL with its digest, pins, locks, and tells what changed since", { timeout }, async () => {
    using place = new Place({ ABE_MQ_CACHE_DIR: "./cache" });
    await using server = await serve({
      "/mod.ts": `import "./part.ts";\n${plugin}`,
      "/part.ts": "export const part = 1;",
    });
    const url = `${server.origin}/mod.ts`;
    const added = await place.mq(["plugins", "add", url, "--name", "remote"]);
    assert.match(added.stdout, /^Added remote to .*import_map\.json, pinned by its digest\n/, added.output);
    const { imports, integrity } = await readMap(place) as { imports: object; integrity: Record<string, string> };
    assert.deepEqual(imports, { remote: url });
    assert.match(integrity[url] ?? "", /^sha256-/);
    const pinned = await place.mq(["plugins", "pin", url]);
    assert.equal(pinned.stdout, `${url}#${integrity[url]}\n`);

    const locked = await place.json(["plugins", "lock"]) as { modules: Record<string, string> };
    assert.deepEqual(Object.keys(locked.modules).sort(), [url, `${server.origin}/part.ts`].sort());
    const run = await place.mq(["publish", "a", "{}", "--backend", "remote"]);
    assert.equal(run.code, 0, run.output);
    const well = await place.mq(["plugins", "verify"]);
    assert.deepEqual([well.code, /all 2 URLs are as they were locked/.test(well.stdout)], [0, true], well.output);

    server.answers.set("/part.ts", "export const part = 2;");
    const changed = await place.mq(["plugins", "verify", "--json"]);
    assert.equal(changed.code, 5);
    const { problems } = JSON.parse(changed.stdout) as { problems: { url: string }[] };
    assert.deepEqual(problems.map((each) => each.url), [`${server.origin}/part.ts`]);
    // A name is pinned in the map to what is there now.
    server.answers.set("/mod.ts", plugin);
    const again = await place.mq(["plugins", "pin", "remote"]);
    assert.match(again.stdout, /^Pinned remote in /, again.output);
    const after = await readMap(place) as { integrity: Record<string, string> };
    assert.notEqual(after.integrity[url], integrity[url]);
  });
});

describe("mq backends", () => {
  it("shows what each backend declares, configured plugins included", { timeout }, async () => {
    using place = new Place({ ABE_MQ_PLUGIN_URL: "./plugin.ts" });
    writePlugin(place);
    const backends = await place.json(["backends"]) as { name: string; capabilities?: Record<string, boolean> }[];
    const byName = Object.fromEntries(backends.map((each) => [each.name, each.capabilities]));
    assert.deepEqual(byName["ABE_MQ_PLUGIN_URL"], { groups: true });
    assert.deepEqual([byName["memory"]?.["durable"], byName["sqlite"]?.["durable"]], [undefined, true]);
    const shown = await place.mq(["backends"]);
    assert.match(shown.stdout, /^capability +ABE_MQ_PLUGIN_URL +memory +sqlite/);
    assert.match(shown.stdout, /\ndurable +- +- +yes/);
  });
});

describe("mq verify", () => {
  it("prints the kit's table for a backend by name, and exits with 0 when it passes", { timeout }, async () => {
    using place = new Place({});
    const { code, stdout } = await place.mq(["verify", "sqlite", "--only", "a killed consumer had in hand"]);
    assert.equal(code, 0, stdout);
    assert.match(
      stdout,
      /^Conformance of sqlite\n.*\n4 +Crash +\d+ +passed +native\n/,
      "a process of its own is killed",
    );
    const memory = await place.json(["verify", "memory", "--only", "group"]) as { passed: boolean; results: object[] };
    assert.ok(memory.passed && memory.results.length > 10);
    const nothing = await place.mq(["verify", "memory", "--only", "no such case"]);
    assert.equal(nothing.code, 2);
  });

  it("exits with 5 and says what fails", { timeout }, async () => {
    using place = new Place({});
    writeFileSync(
      join(place.folder, "full.ts"),
      plugin.replace("publish() {", `publish() { throw new Error("disk full");`),
    );
    const { code, stdout } = await place.mq(["verify", "./full.ts", "--only", "ten closes at once"]);
    assert.equal(code, 5, stdout);
    assert.match(stdout, /1 FAILED[^]*\nFAILED 1: ten closes at once leave the exchange usable: Error: disk full/);
  });
});

describe("completion", () => {
  it("proposes commands, flags and values", { timeout }, async () => {
    using place = new Place({});
    const lines = async (...words: string[]) => (await place.mq(["--complete", ...words])).stdout.split("\n");
    const [commands, flags, verbs, shells] = await Promise.all([
      lines("pu"),
      lines("consume", "--pe"),
      lines("dead", ""),
      lines("completions", "z"),
    ]);
    assert.deepEqual(commands, ["publish", ""]);
    assert.deepEqual(flags, ["--peek", ""]);
    assert.deepEqual(verbs, ["list", "show", "replay", "purge", ""]);
    assert.deepEqual(shells, ["zsh", ""]);
    const { stdout } = await place.mq(["completions", "bash"]);
    assert.match(stdout, /complete .* -F _mq mq\n$/);
  });

  it("has help for every command, and the version of deno.json", { timeout }, async () => {
    using place = new Place({});
    const { version } = JSON.parse(await readFile(new URL("../../cli/deno.json", import.meta.url), "utf8"));
    assert.equal((await place.mq(["--version"])).stdout, `${version}\n`);
    const { stdout } = await place.mq(["--help"]);
    const names = [...(/COMMANDS\n([^]*)$/.exec(stdout)?.[1] ?? "").matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name);
    assert.ok(names.length >= 11, `${names}`);
    // One process for each is slow; on one runtime they are the same as on the others.
    const some = thisRuntime === "deno" ? names : names.slice(0, 2);
    const helps = await Promise.all(some.map((name) => place.mq([name ?? "", "--help"])));
    for (const help of helps) assert.match(help.stdout, /^USAGE\n/);
  });
});
