import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MemoryBackend } from "../../backends/memory.ts";
import { compileFilter } from "../../mod.ts";
import { Model, VirtualClock } from "./model.ts";
import * as steps from "./model_commands.ts";
import type { Real, Step } from "./model_commands.ts";

const groups = [
  { name: "all", keys: "#", maxAttempts: 3 },
  { name: "some", keys: "x.*", maxAttempts: 2 },
] as const;
const dedupWindowMs = 300;
const farMs = 100_000;

const number = fc.nat(7);
const ms = fc.constantFrom(0, 1, 10, 50, 100, 250, 1_000);
const leaseMs = fc.constantFrom(20, 100, 400);

const settlement = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ verb: "ack" }) },
  { weight: 3, arbitrary: fc.record({ verb: fc.constant("nack"), delayMs: fc.constantFrom(0, 0, 30, 200) }) },
  { weight: 1, arbitrary: fc.constant({ verb: "reject", reason: "unwanted" }) },
  { weight: 2, arbitrary: fc.constant({ verb: "release" }) },
) as fc.Arbitrary<Parameters<typeof steps.settle>[2]>;

const publish = fc.tuple(
  fc.constantFrom("x.one", "x.two", "y.one"),
  fc.oneof(
    { weight: 4, arbitrary: fc.constant({}) },
    { weight: 4, arbitrary: fc.record({ orderingKey: fc.constantFrom("k", "l") }) },
    { weight: 2, arbitrary: fc.record({ delayMs: fc.constantFrom(5, 60, 300) }) },
    { weight: 2, arbitrary: fc.record({ id: fc.constantFrom("once", "twice") }) },
  ),
);

// Pulls and settlements make the interesting states, so there are more of them.
const commands = fc.commands(
  [
    publish.map(([key, options]): Step => steps.publish(key, options)),
    publish.map(([key, options]): Step => steps.publish(key, options)),
    fc.tuple(number, leaseMs).map(([which, lease]): Step => steps.receive(which, lease)),
    fc.tuple(number, fc.integer({ min: 1, max: 4 })).map(([which, max]): Step => steps.pull(which, max)),
    fc.tuple(number, fc.integer({ min: 1, max: 4 })).map(([which, max]): Step => steps.pull(which, max)),
    fc.tuple(number, fc.nat(), settlement).map(([which, claim, how]): Step => steps.settle(which, claim, how)),
    fc.tuple(number, fc.nat(), settlement).map(([which, claim, how]): Step => steps.settle(which, claim, how)),
    fc.tuple(number, fc.nat(), leaseMs).map(([which, claim, lease]): Step => steps.extend(which, claim, lease)),
    number.map((which): Step => steps.pullWaiting(which)),
    number.map((which): Step => steps.crash(which)),
    number.map((which): Step => steps.close(which)),
    number.map((which): Step => steps.replay(which)),
    ms.map((time): Step => steps.advance(time)),
  ],
  { maxCommands: 60, size: "max" },
);

async function start(): Promise<{ model: Model; real: Real }> {
  const clock = new VirtualClock();
  const backend = new MemoryBackend({ clock, dedupWindowMs });
  for (const { name, keys, maxAttempts } of groups) await backend.groups.create(name, { keys, maxAttempts });
  const model = new Model(
    groups.map(({ name, keys, maxAttempts }) => ({ name, maxAttempts, matches: compileFilter(keys) })),
    dedupWindowMs,
  );
  return { model, real: { backend, clock, places: [] } };
}

/** When everybody has gone, all that is not done with comes to one who stays, and nothing is left behind. */
async function finish(model: Model, real: Real): Promise<void> {
  for (const place of real.places) if (place.state === "open") await steps.closeHere(place);
  await steps.advance(farMs).run(model, real);
  for (const index of groups.keys()) {
    await steps.receive(index, 50).run(model, real);
    const place = real.places.at(-1);
    assert.ok(place !== undefined);
    while (await steps.pullHere(model, real, place, 3) > 0) {
      for (const { claim, message } of place.claims.splice(0)) {
        assert.deepEqual(await place.receiver.settle([{ claim, verb: "ack" }]), [true]);
        place.group.standings.set(message, { at: "acked" });
      }
    }
    assert.deepEqual(place.group.standing("ready", "held", "delayed"), [], "messages that were never done with");
  }
  assert.equal((await real.backend.stats()).retained, 0, "messages that are kept for nobody");
  await real.backend[Symbol.asyncDispose]();
}

void describe("MemoryBackend", () => {
  void it("does what a simple model says, whatever happens in whatever order", { timeout: 120_000 }, async () => {
    // A failure prints the seed, the path and the shrunken steps.
    await fc.assert(
      fc.asyncProperty(commands, async (run) => {
        const { model, real } = await start();
        await fc.asyncModelRun(() => ({ model, real }), run);
        await finish(model, real);
      }),
      { numRuns: 3_000 },
    );
  });
});
