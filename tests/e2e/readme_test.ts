import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { SqliteBackend } from "../../backends/sqlite.ts";
import { MessageQueue } from "../../mod.ts";
import { serve } from "../plugins/server.ts";
import { root, run, runtimeCommand, runtimePath, runtimes, thisRuntime } from "../process.ts";
import { findProgram } from "../programs.ts";

const timeout = 120_000;
const readme = await readFile(join(root, "README.md"), "utf8");

/** The code blocks of a language, in order. */
function blocks(language: string): string[] {
  return Array.from(readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms")), ([, code = ""]) => code);
}

// Where each command of the README is run. A new one is to be added here with its test.
const runBy: Readonly<Record<string, string>> = {
  "npx -y deno task demo": "below",
  "npx -y deno task test": "the gate, of which this test is a part",
  "npx -y deno task ok": "the same program as the gate, which would run this test in turn",
  "deno add jsr:@abe/mq": "tests/e2e/install_test.ts",
  "bunx jsr add @abe/mq": "tests/e2e/install_test.ts",
  "npx jsr add @abe/mq": "tests/e2e/install_test.ts",
  "deno run --allow-env=MESSAGE_QUEUE_BACKEND,ABE_MQ_PLUGIN_URL,ABE_MQ_PLUGINS --allow-read=. --allow-import=example.com app.ts":
    "below",
  [`sqlite3 -readonly events.db "select id, key, body from log_1 order by position limit 10"`]: "below",
  [`sqlite3 -readonly events.db "select d.id, d.key, d.reason, d.error from dead_letter d"`]: "below",
  [`sqlite3 events.db ".backup 'backup.db'"`]: "below",
  [`mq publish order.created '{"id":1}'`]: "below",
  "mq consume --group billing --keys 'order.*'": "tests/cli/messages_test.ts",
  "mq stats --watch": "tests/cli/messages_test.ts",
  "mq dead list --group billing": "below",
  "mq doctor": "below",
  "mq verify sqlite": "tests/cli/plugins_test.ts",
  "mq new @acme/thing": "tests/cli/new_test.ts",
  "bun run app.ts": "below",
  "node app.ts": "below",
};

const commands = blocks("sh").flatMap((block) =>
  block.split("\n").map((line) => line.replace(/ +#.*/, "").trim()).filter(Boolean)
);

describe("the README", () => {
  it("names no command that is not run", { timeout }, () => {
    assert.deepEqual(commands.toSorted(), Object.keys(runBy).toSorted());
  });

  it("names tasks that there are", { timeout }, async () => {
    const { tasks } = JSON.parse(await readFile(join(root, "deno.json"), "utf8"));
    for (const [, task] of readme.matchAll(/deno task (\w+)/g)) assert.ok(task !== undefined && task in tasks, task);
  });

  it("starts with what it is, then the two commands, then some lines of code", { timeout }, () => {
    const order = ["# @abe/mq", "A message queue", "npx -y deno task demo", "npx -y deno task test", "```ts"];
    const places = order.map((text) => readme.indexOf(text));
    assert.ok(places.every((place, i) => place >= 0 && place > (places[i - 1] ?? -1)), String(places));
  });

  it("has a demo that gives an account", { timeout }, async () => {
    const { command, args } = { command: runtimePath("deno"), args: ["task", "demo", "--prepared"] };
    const result = await run({ command, args, cwd: root, env: { ABE_MQ_PLUGIN_URL: undefined } });
    assert.equal(result.code, 0, result.output);
    assert.match(result.stdout, /Application +examples\/event_feed under bun/);
    assert.match(result.stdout, /Every payload arrived as it was sent/);
  });

  it("has a demo that says which runtimes there are", { timeout }, async () => {
    const args = ["task", "demo", "--prepared", "--runtime", "perl"];
    const result = await run({ command: runtimePath("deno"), args, cwd: root });
    assert.equal(result.code, 2);
    assert.match(result.stderr, /"perl" as --runtime: it is one of deno, bun, node/);
  });

  it("looks into a SQLite file and makes a backup while it is in use", { timeout }, async () => {
    const sqlite3 = findProgram("sqlite3");
    assert.ok(sqlite3, "sqlite3 is there: `npx -y deno task prepare` fetches it");
    const folder = await mkdtemp(join(tmpdir(), "abe-mq-readme-"));
    await using mq = new MessageQueue(new SqliteBackend({ path: join(folder, "events.db") }));
    await mq.publish("order.created", { id: 1 }, { id: "first" });
    await mq.publish("order.paid", { id: 2 }, { id: "second" });
    const iterator = mq.receive();
    await (await iterator.next()).value?.reject("broken");
    const outputs: string[] = [];
    for (const command of commands.filter((each) => each.startsWith("sqlite3"))) {
      const args = Array.from(command.matchAll(/"([^"]*)"|(\S+)/g), ([, quoted, bare]) => quoted ?? bare ?? "").slice(
        1,
      );
      const result = await run({ ...sqlite3, args, cwd: folder });
      assert.equal(result.code, 0, result.output);
      outputs.push(result.stdout);
    }
    assert.match(outputs[0] ?? "", /second\|order\.paid\|\{"id":2\}/);
    assert.match(outputs[1] ?? "", /first\|order\.created\|broken/);
    await mq.close();
    await using copy = new MessageQueue(new SqliteBackend({ path: join(folder, "backup.db") }));
    assert.equal((await copy.stats()).groups.default?.dead, 1);
    await copy.close();
    await rm(folder, { recursive: true });
  });

  it("has commands that work as they stand", { timeout }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "abe-mq-readme-"));
    const env = { MESSAGE_QUEUE_BACKEND: "sqlite", MESSAGE_QUEUE_PATH: join(folder, "events.db") };
    const outputs: string[] = [];
    for (const start of ["mq publish", "mq dead list", "mq doctor"]) {
      const command = commands.find((each) => each.startsWith(start)) ?? "";
      const args = Array.from(command.matchAll(/'([^']*)'|(\S+)/g), ([, quoted, bare]) => quoted ?? bare ?? "").slice(
        1,
      );
      const result = await run(runtimeCommand(thisRuntime, join(root, "cli/mod.ts"), { args, cwd: folder, env }));
      outputs.push(`${start}: ${result.code}\n${result.output}`);
    }
    assert.match(outputs[0] ?? "", /^mq publish: 0/);
    assert.match(outputs[1] ?? "", /^mq dead list: 0/);
    assert.match(outputs[2] ?? "", /^mq doctor: [01]\n.*sqlite/s);
    await rm(folder, { recursive: true });
  });

  // The whole plugin, served as it stands in the README, without the lines below it that try it.
  const plugin = blocks("ts").find((block) => block.includes("export default class LineBackend")) ?? "";
  const source = plugin.slice(0, plugin.indexOf("await using")).replace("MessageQueue, ", "");

  it("has a whole plugin in 25 lines", { timeout }, () => {
    const lines = source.trim().split("\n").filter((line) => line !== "");
    assert.ok(lines.length <= 25, `${lines.length} lines`);
  });

  for (const runtime of runtimes) {
    it(
      `has a plugin that an app loads by its URL under ${runtime}, with the permissions named`,
      { timeout },
      async () => {
        const folder = await mkdtemp(join(tmpdir(), "abe-mq-readme-"));
        const server = await serve({ "/mod.ts": source });
        try {
          const app = `
          import { openQueue } from ${JSON.stringify(join(root, "mod.ts"))};
          await using mq = await openQueue();
          await mq.publish("greeting", { hello: "world" });
          for await (const payload of mq.consume()) {
            console.log(JSON.stringify(payload));
            break;
          }
        `;
          await writeFile(join(folder, "app.ts"), app);
          const named = commands.find((each) => each.startsWith("deno run --allow-env"))?.split(" ") ?? [];
          const permissions = named.filter((each) => each.startsWith("--allow")).map((flag) =>
            flag.replace("example.com", server.host).replace("--allow-read=.", `--allow-read=.,${root}`)
          );
          const result = await run(runtimeCommand(runtime, join(folder, "app.ts"), {
            permissions,
            cwd: folder,
            env: {
              ABE_MQ_PLUGIN_URL: `${server.origin}/mod.ts`,
              ABE_MQ_CACHE_DIR: join(folder, "cache"),
              MESSAGE_QUEUE_BACKEND: undefined,
            },
          }));
          assert.equal(result.code, 0, result.output);
          assert.equal(result.stdout, '{"hello":"world"}\n');
        } finally {
          await server[Symbol.asyncDispose]();
          await rm(folder, { recursive: true });
        }
      },
    );
  }
});
