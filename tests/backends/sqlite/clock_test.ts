import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Receiver, Settlement } from "../../../core/backend.ts";
import { inFolder, message, numberOf, timeout } from "./helpers.ts";
import { randomFrom } from "./kill.ts";

const hour = 3_600_000;

describe("a SQLite queue whose clock jumps", () => {
  it("may deliver early or late, and loses nothing", { timeout }, () =>
    inFolder(async (folder) => {
      const seed = Date.now() % 1_000_000;
      console.log(`seed ${seed}`);
      const random = randomFrom(seed);
      let offset = 0;
      const now = () => Date.now() + offset;
      let base = 0;
      const jump = () => offset = base + Math.floor((random() - 0.5) * 4 * hour);
      const backend = folder.open({ now });
      await backend.groups.create("g", { maxAttempts: 1_000, expiresMs: 60_000 });
      const receivers: Receiver[] = [];
      for (let n = 0; n < 3; n++) receivers.push(await backend.receive({ group: "g", leaseMs: 30_000 }));
      const count = 300;
      const acked = new Set<number>();
      const step = async (max: number) => {
        for (const receiver of receivers) {
          jump();
          const claims = await receiver.pull({ max, signal: AbortSignal.timeout(20) });
          jump();
          const settlements = claims.map((claim): Settlement => {
            const verb = random() < 0.6 ? "ack" : random() < 0.5 ? "nack" : "release";
            return verb === "nack" ? { claim, verb, delayMs: random() * hour } : { claim, verb };
          });
          const held = await receiver.settle(settlements);
          for (const [index, { claim, verb }] of settlements.entries()) {
            if (held[index] && verb === "ack") {
              assert.ok(!acked.has(numberOf(claim)), "acked twice");
              acked.add(numberOf(claim));
            }
          }
        }
      };
      for (let n = 0; n < count; n += 10) {
        jump();
        await backend.publishMany(Array.from({ length: 10 }, (_, index) => {
          const options = index === 3 ? { delayMs: random() * hour } : index === 5 ? { orderingKey: "k" } : {};
          return message(n + index, options);
        }));
        await step(5);
      }
      const deadline = Date.now() + 40_000;
      for (let round = 0; acked.size < count; round++) {
        assert.ok(Date.now() < deadline, `only ${acked.size} of ${count} were acked`);
        // Time goes on, so that every delay ends some day.
        base += hour;
        await step(50);
      }
      assert.equal((await backend.stats()).retained, 0);
      assert.equal((await backend.groups.list()).length, 1, "its consumers were there all the time");
    }));
});
