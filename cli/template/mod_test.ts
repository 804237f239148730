import { testBackend } from "@abe/mq/testing";
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
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
    const [dead, alive] = [new Engine(folder, exchange, 30_000), new Engine(folder, exchange, 200)];
    await dead.put("text");
    const held = await dead.take();
    assert.equal(held?.text, "text");
    assert.equal(await alive.take(), undefined, "it is held");
    // As when its consumer was killed and its time has passed.
    const taken = join(folder, exchange, "taken");
    const [file = ""] = readdirSync(taken);
    renameSync(join(taken, file), join(taken, file.replace(/^\d+/, "1")));
    for (const deadline = Date.now() + 20_000; Date.now() < deadline;) {
      const again = await alive.take();
      if (again !== undefined) {
        await again.ack();
        return await held.ack(); // too late, and harmless
      }
      await alive.wait();
    }
    assert.fail("it did not come again");
  });
});
