import { testBackend } from "@abe/mq/testing";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { Engine } from "./engine.ts";
import AcornBackend from "./mod.ts";

const folder = mkdtempSync(join(tmpdir(), "acorn-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

// Everything that the backend declares is tried, and that it refuses the rest.
testBackend({
  name: "acorn",
  open: (exchange) => Promise.resolve(new AcornBackend({ folder, exchange })),
  capabilities: { durable: true },
  environment: {
    module: AcornBackend,
    wrong: { MESSAGE_QUEUE_EXCHANGE: "x".repeat(201), MESSAGE_QUEUE_LEASE_MS: "soon" },
  },
});

describe("the engine", () => {
  it("gives what a dead consumer held to another", { timeout: 30_000 }, async () => {
    const exchange = "dead-consumer";
    const [dead, alive] = [new Engine(folder, exchange, 200), new Engine(folder, exchange, 200)];
    await dead.put("text");
    const held = await dead.take();
    assert.equal(held?.text, "text");
    assert.equal(await alive.take(), undefined, "it is held, and renewed while its consumer lives");
    // What a killed process leaves behind: a time that has passed.
    await held.release();
    const lost = await new Engine(folder, exchange, -1_000_000).take();
    assert.equal(lost?.text, "text");
    for (const deadline = Date.now() + 20_000; Date.now() < deadline;) {
      const again = await alive.take();
      if (again !== undefined) return await again.ack();
      await alive.wait();
    }
    assert.fail("it did not come again");
  });
});
