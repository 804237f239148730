import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { run, runtimeCommand, runtimes, spawn } from "./process.ts";
import { findProgram } from "./programs.ts";
import { until } from "./wait.ts";

const timeout = 60_000;

const program = `
  import process from "node:process";
  const name: string = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
  console.log("running under " + name, process.argv.slice(2).join(" "), process.env.ABE_MQ_TEST_SAID);
  process.stdin.on("data", (data) => console.log("heard " + String(data).trim()));
  process.stdin.on("end", () => { console.error("done"); process.exitCode = 3; });
`;

async function withProgram(work: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "abe-mq-process-"));
  try {
    const path = join(folder, "program.ts");
    await writeFile(path, program);
    await work(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

for (const runtime of runtimes) {
  describe(`a child process under ${runtime}`, () => {
    it("gets arguments, variables and input, and tells how it ended", { timeout }, async () => {
      await withProgram(async (path) => {
        const env = { ABE_MQ_TEST_SAID: "hello" };
        const result = await run(runtimeCommand(runtime, path, { args: ["a", "b"], env }), { input: "text\n" });
        assert.equal(result.stdout, `running under ${runtime} a b hello\nheard text\n`, result.output);
        assert.equal(result.stderr, "done\n");
        assert.equal(result.code, 3);
        assert.equal(result.timedOut, false);
      });
    });

    it("is read line by line, and killed", { timeout }, async () => {
      await withProgram(async (path) => {
        const child = spawn(runtimeCommand(runtime, path));
        await child.line(/^running under/);
        child.write("one\n");
        assert.equal(await child.line(/heard/), "heard one");
        child.kill("SIGKILL");
        const result = await child.exited;
        assert.equal(result.code, null);
        assert.equal(result.signal, "SIGKILL");
        await assert.rejects(child.line(/never/), /the process ended. It wrote:\nrunning under/);
      });
    });
  });
}

describe("run", () => {
  it("kills what takes too long", { timeout }, async () => {
    const late = await run({ command: "sleep", args: ["60"] }, { timeoutMs: 100 });
    assert.equal(late.timedOut, true);
    assert.equal(late.signal, "SIGKILL");
  });
});

describe("spawn", () => {
  it("rejects when there is no such program", { timeout }, async () => {
    await assert.rejects(run({ command: "/nowhere/at-all", args: [] }), /ENOENT|nowhere/);
  });

  it("kills a whole group where it is told to", { timeout }, async () => {
    const child = spawn({ command: "sh", args: ["-c", "sleep 60 & echo started; wait"] }, { group: true });
    await child.line(/started/);
    assert.equal(child.groupAlive(), true);
    child.kill();
    await child.exited;
    await until(() => !child.groupAlive(), { what: "the grandchild to end" });
  });
});

describe("findProgram", () => {
  it("finds a program that runs, and nothing for an unknown name", { timeout }, async () => {
    assert.equal(findProgram("no-such-program-at-all"), undefined);
    const redis = findProgram("redis-server");
    if (redis === undefined) return; // where it cannot be had, what needs it is skipped by name
    const { code, stdout } = await run({ command: redis.command, args: ["--version"], env: redis.env });
    assert.equal(code, 0);
    assert.match(stdout, /Redis server v=/);
  });
});

describe("until", () => {
  it("returns what the condition gave", { timeout }, async () => {
    let calls = 0;
    assert.equal(await until(() => ++calls === 3 && "there", { what: "three calls", intervalMs: 1 }), "there");
  });

  it("names what it waited for in vain", { timeout }, async () => {
    await assert.rejects(until(() => false, { what: "a miracle", timeoutMs: 20 }), /20 ms in vain for a miracle/);
  });
});
