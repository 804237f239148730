import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { describe, it } from "node:test";
import type { Settlement } from "../../../core/backend.ts";
import { SqliteDeadLetters } from "../../../backends/sqlite/dead_letters.ts";
import { SqliteGroups } from "../../../backends/sqlite/groups.ts";
import { settingsFrom } from "../../../backends/sqlite/options.ts";
import { openSession, type Session } from "../../../backends/sqlite/session.ts";
import { stats } from "../../../backends/sqlite/stats.ts";
import { ack, inFolder, message, messages, pull, pullNothing, timeout } from "./helpers.ts";

// Uses everything once, so that every statement is in the cache.
async function useEverything(session: Session): Promise<void> {
  const { publisher, store } = session;
  const groups = new SqliteGroups(() => Promise.resolve(store), () => session.maintenance.expire());
  const dead = new SqliteDeadLetters(() => Promise.resolve(store));
  await groups.create("filtered", { keys: "order.*", expiresMs: 1e9 });
  await groups.update("filtered", { maxAttempts: 5 });
  await groups.list();
  const receiver = await session.receive("g", {}, 30_000);
  await publisher.publish([
    ...messages(20),
    message(20, { id: "id" }),
    message(21, { delayMs: 1 }),
    message(22, { orderingKey: "k" }),
    message(23, { orderingKey: "k" }),
  ]);
  const claims = await pull(receiver);
  const verbs: Settlement[] = [];
  for (const [index, claim] of claims.entries()) {
    if (index === 0) verbs.push({ claim, verb: "nack", delayMs: 0 });
    else if (index === 1) verbs.push({ claim, verb: "reject", reason: "no" });
    else if (index === 2) verbs.push({ claim, verb: "release" });
    else if (index % 2 === 0) verbs.push({ claim, verb: "ack" });
  }
  await receiver.settle(verbs);
  await receiver.extend(claims, 30_000);
  await ack(receiver, claims);
  for (
    let held = await pull(receiver);
    held.length > 0;
    held = await receiver.pull({ max: 10, signal: AbortSignal.timeout(200) })
  ) {
    await ack(receiver, held);
  }
  await dead.list("g", { limit: 1 });
  await dead.get("g", "x");
  await dead.replay("g", ["x"]);
  await dead.replay("g");
  await dead.purge("g");
  await stats(store);
  await groups.delete("filtered");
  await receiver.close();
}

describe("the statements of the SQLite backend", () => {
  it("neither scan a table nor build a temporary tree", { timeout }, () =>
    inFolder(async (folder) => {
      const session = await openSession(settingsFrom({ path: folder.file, maxLength: 25, maxAgeMs: 1e9 }));
      try {
        await useEverything(session);
      } finally {
        await session.close();
      }
      const statements = session.store.connection.statements.filter((sql) =>
        /^(select|insert|update|delete)/.test(sql)
      );
      const db = new DatabaseSync(folder.file);
      const bad: string[] = [];
      for (const sql of statements) {
        const steps = db.prepare(`explain query plan ${sql}`).all() as { detail: string }[];
        for (const { detail } of steps) {
          if (/TEMP B-TREE/.test(detail) || /^SCAN (?!json_each|\(|CONSTANT|\d+-ROW VALUES)/.test(detail)) {
            bad.push(`${detail}: ${sql}`);
          }
        }
      }
      db.close();
      assert.ok(statements.length > 50, `only ${statements.length} statements were used`);
      assert.deepEqual(bad, []);
    }));

  it("take the same steps with a thousand groups", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open({ synchronous: "NORMAL" });
      await Promise.all(Array.from({ length: 1_000 }, (_, n) => backend.groups.create(`group.${n}`)));
      await backend.publishMany(messages(100));
      for (const n of [0, 500, 999]) {
        const receiver = await backend.receive({ group: `group.${n}`, leaseMs: 30_000 });
        const claims = await pull(receiver);
        assert.equal(claims.length, 100);
        assert.ok((await ack(receiver, claims)).every(Boolean));
        await pullNothing(receiver);
      }
      const { retained, groups } = await backend.stats();
      assert.deepEqual([retained, Object.keys(groups).length, groups["group.1"]?.ready], [100, 1_000, 100]);
      assert.equal(groups["group.500"]?.ready, 0);
    }));
});
