import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { run, runtimeCommand, runtimes, spawn, thisRuntime } from "../../process.ts";
import { ack, inFolder, message, messages, numberOf, pull, pullCount, timeout } from "./helpers.ts";
import { runKills } from "./kill.ts";

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const visit = (runtime: (typeof runtimes)[number], file: string) =>
  run(runtimeCommand(runtime, script("./visitor.ts"), { args: [file] }));

describe("a SQLite file that several processes share", () => {
  for (const runtime of runtimes) {
    it(
      `wakes a consumer when ${runtime} publishes, and leaves it its locks`,
      { timeout },
      () =>
        inFolder(async (folder) => {
          const backend = folder.open();
          const receiver = await backend.receive({ group: "g", leaseMs: 30_000 });
          const waiting = receiver.pull({ max: 1, signal: AbortSignal.timeout(20_000) });
          const { code, stdout } = await visit(runtime, folder.file);
          assert.deepEqual([code, stdout], [0, "visited\n"], "it ended by itself");
          assert.deepEqual((await waiting).map(numberOf), [7]);
          // Had this process lost its locks, the visitor would have thought itself the last, and removed the log under our feet.
          assert.ok(existsSync(`${folder.file}-wal`));
        }),
    );
  }

  it(
    "loses nothing between publishers and consumers of three runtimes",
    { timeout: 180_000 },
    () =>
      inFolder(async (folder) => {
        const counts = await runKills({ file: folder.file, rounds: 9, seed: 1, runtimes, synchronous: "NORMAL" });
        assert.deepEqual([counts.lost, counts.revived], [0, 0]);
      }),
  );

  it("waits for another process's lock without stopping the event loop", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      await backend.connect();
      await using holder = spawn(runtimeCommand(thisRuntime, script("./lock_holder.ts"), { args: [folder.file] }));
      await holder.line(/locked/);
      let done = false;
      const publishing = backend.publishMany(messages(3)).then(() => {
        done = true;
      });
      // A publish that slept inside SQLite would have kept these from running before it is over.
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.equal(done, false);
      holder.endInput();
      await publishing;
      const receiver = await backend.receive({ group: "g", leaseMs: 30_000 });
      assert.equal((await pullCount(receiver, 3)).length, 3);
    }));

  it(
    "gives up on a lock after a while, with an error that is tried again",
    { timeout },
    () =>
      inFolder(async (folder) => {
        const backend = folder.open({ lockTimeoutMs: 100 });
        const receiver = await backend.receive({ group: "g", leaseMs: 30_000 });
        await backend.publishMany([message(1)]);
        const claims = await pull(receiver);
        await using holder = spawn(runtimeCommand(thisRuntime, script("./lock_holder.ts"), { args: [folder.file] }));
        await holder.line(/locked/);
        const busy = { code: "connection", retryable: true };
        await assert.rejects(backend.publishMany([message(2)]), busy);
        await assert.rejects(ack(receiver, claims), busy);
        await assert.rejects(folder.open({ lockTimeoutMs: 100, exchange: "new" }).connect(), busy);
        holder.endInput();
        await holder.exited;
        assert.deepEqual(await ack(receiver, claims), [true]);
        await backend.publishMany([message(3)]);
        assert.deepEqual((await pull(receiver)).map(numberOf), [3]);
      }),
  );
});
