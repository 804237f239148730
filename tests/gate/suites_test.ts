import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { thisRuntime } from "../process.ts";
import type { Part } from "./report.ts";
import { runSuite } from "./suites.ts";

const timeout = 120_000;

async function suite(name: string, fileMs: number, secondTry = false): Promise<Part> {
  const temporary = await mkdtemp(join(tmpdir(), "abe-mq-suites-"));
  try {
    process.env["GATE_SAMPLE_MARK"] = join(temporary, "mark");
    return await runSuite(thisRuntime, {
      files: [`tests/gate/samples/${name}.ts`],
      jobs: 1,
      temporary,
      fileMs,
      secondTry,
    });
  } finally {
    await rm(temporary, { recursive: true });
  }
}

describe("runSuite", () => {
  it("counts each test once, and no suite", { timeout }, async () => {
    const part = await suite("mixed", 60_000);
    assert.equal(part.passed, 3);
    assert.equal(part.failed.length, 1);
    assert.match(part.failed[0] ?? "", /mixed\.ts: outer > fails <with> /);
    assert.equal(part.skipped.length, 1);
    assert.match(part.skipped[0] ?? "", /outer > is skipped/);
  });

  it("counts a file that cannot start as failed", { timeout }, async () => {
    const part = await suite("broken", 60_000);
    assert.equal(part.passed, 0);
    assert.equal(part.failed.length, 1);
  });

  it("kills a file that hangs, and counts it as failed", { timeout }, async () => {
    const part = await suite("hanging", 2_000);
    assert.equal(part.passed, 0);
    assert.match(part.failed.join("\n"), /killed after 2\.0 s/);
  });

  it("counts processes that are left behind as a failure, and kills them", { timeout }, async () => {
    const part = await suite("leaving", 60_000);
    assert.equal(part.passed, 1);
    assert.match(part.failed.join("\n"), /left processes behind/);
  });

  it("runs a file that failed once more when asked to, and says which tests needed it", { timeout }, async () => {
    const without = await suite("once", 60_000);
    assert.deepEqual([without.passed, without.failed.length, without.retried], [0, 1, []]);
    const part = await suite("once", 60_000, true);
    assert.deepEqual([part.passed, part.failed], [1, []]);
    assert.match(part.retried?.join("\n") ?? "", /once\.ts: fails once/);
    const still = await suite("mixed", 60_000, true);
    assert.deepEqual([still.failed.length, still.retried], [1, []]);
  });
});
