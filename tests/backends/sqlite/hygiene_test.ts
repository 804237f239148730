import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { platform } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { isOlder } from "../../../backends/sqlite/connection.ts";
import { settingsFrom } from "../../../backends/sqlite/options.ts";
import { openSession } from "../../../backends/sqlite/session.ts";
import { run, runtimeCommand, thisRuntime } from "../../process.ts";
import { ack, inFolder, message, messages, pull, pullCount, timeout, until } from "./helpers.ts";

function inShell(file: string, sql: string): void {
  const db = new DatabaseSync(file);
  db.exec(sql);
  db.close();
}

describe("the file of a SQLite queue", () => {
  it("is refused and left alone when it is no database", { timeout }, () =>
    inFolder(async (folder) => {
      const text = "These are the accounts of 2019, and nobody has a copy.\n".repeat(200);
      writeFileSync(folder.file, text);
      await assert.rejects(folder.open().publish("a", {}), { code: "storage", message: /no SQLite database/ });
      assert.equal(readFileSync(folder.file, "utf8"), text);
      assert.deepEqual(readdirSync(folder.path), ["queue.db"]);
    }));

  it("is refused and left alone when it is another program's database", { timeout }, () =>
    inFolder(async (folder) => {
      inShell(folder.file, "create table customer (id integer); insert into customer values (1)");
      const before = readFileSync(folder.file);
      await assert.rejects(folder.open().publish("a", {}), { code: "storage", message: /another program's database/ });
      assert.deepEqual(readFileSync(folder.file), before);
      assert.deepEqual(readdirSync(folder.path), ["queue.db"]);
    }));

  it("is refused and left alone when a newer version wrote it", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      await backend.publish("a", {});
      await backend[Symbol.asyncDispose]();
      inShell(folder.file, "pragma user_version = 99");
      const before = readFileSync(folder.file);
      await assert.rejects(folder.open().publish("a", {}), { code: "storage", message: /newer version.*schema 99/ });
      assert.deepEqual(readFileSync(folder.file), before);
    }));

  it("is refused when its folder is missing, or it is one", { timeout }, () =>
    inFolder(async (folder) => {
      const missing = folder.open({ path: join(folder.path, "none", "queue.db") });
      await assert.rejects(missing.connect(), { code: "storage", message: /its folder does not exist/ });
      mkdirSync(folder.file);
      await assert.rejects(folder.open().connect(), { code: "storage" });
    }));

  it("is refused when it may not be written, and left alone", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      await backend.publish("a", {});
      await backend[Symbol.asyncDispose]();
      const before = readFileSync(folder.file);
      chmodSync(folder.file, 0o400);
      chmodSync(folder.path, 0o500);
      const script = fileURLToPath(new URL("./visitor.ts", import.meta.url));
      const command = runtimeCommand(thisRuntime, script, { args: [folder.file] });
      // Root may write what nobody may, unless it gives that up.
      const args = ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"];
      const { stdout } = process.getuid?.() === 0
        ? await run({ ...command, command: "setpriv", args: [...args, command.command, ...command.args] })
        : await run(command);
      chmodSync(folder.path, 0o700);
      assert.match(stdout, /^refused storage: Cannot open .*(may not be written|cannot be opened)/);
      assert.deepEqual(readFileSync(folder.file), before);
    }));

  it("may be read by its owner alone", { timeout, skip: platform() === "win32" }, () =>
    inFolder(async (folder) => {
      await folder.open().publish("a", {});
      for (const end of ["", "-wal", "-shm"]) assert.equal(statSync(folder.file + end).mode & 0o777, 0o600, end);
    }));

  it(
    "takes nothing when the disk is full, and goes on when there is room",
    { timeout },
    () =>
      inFolder(async (folder) => {
        const session = await openSession(settingsFrom({ path: folder.file }));
        const { connection } = session.store;
        try {
          const receiver = await session.receive("g", {}, 30_000);
          await session.publisher.publish(messages(10));
          const pages = connection.get<{ page_count: number }>("pragma page_count")?.page_count ?? 0;
          connection.get(`pragma max_page_count = ${pages + 20}`);
          const big = () => session.publisher.publish([message(1, { headers: { filler: "x".repeat(100_000) } })]);
          const results = await Promise.allSettled([big(), session.publisher.publish([message(10)]), big()]);
          assert.deepEqual(results.map((result) => result.status), ["rejected", "fulfilled", "rejected"]);
          await assert.rejects(big(), { code: "storage", retryable: false, message: /disk is full/ });
          const claims = await pullCount(receiver, 11);
          await ack(receiver, claims);
          connection.get("pragma max_page_count = 1000000");
          await big();
          assert.equal((await pull(receiver)).length, 1);
          const check = connection.get<{ integrity_check: string }>("pragma integrity_check");
          assert.equal(check?.integrity_check, "ok");
        } finally {
          await session.close();
        }
      }),
  );

  it("stays as large as it is while as much is acked as is published", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open({ synchronous: "NORMAL" });
      const receiver = await backend.receive({ group: "g", leaseMs: 30_000 });
      const cycles = async (count: number) => {
        for (let cycle = 0; cycle < count; cycle++) {
          await backend.publishMany(messages(500));
          await ack(receiver, await pullCount(receiver, 500));
        }
      };
      await cycles(30);
      const size = () => ["", "-wal"].map((end) => statSync(folder.file + end).size);
      const [file = 0, log = 0] = size();
      await cycles(90);
      const [laterFile = 0, laterLog = 0] = size();
      assert.ok(laterFile <= file * 1.5, `the file grew from ${file} to ${laterFile} bytes`);
      assert.ok(laterLog <= Math.max(2 * log, 16e6), `the log grew from ${log} to ${laterLog} bytes`);
      assert.equal((await backend.stats()).retained, 0);
    }));

  it("can be backed up while it is in use, and the backup is a queue", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      const receiver = await backend.receive({ group: "g", leaseMs: 30_000 });
      await backend.publishMany(messages(10));
      await ack(receiver, await pullCount(receiver, 4));
      const path = join(folder.path, "backup.db");
      const publishing = Promise.all(Array.from({ length: 50 }, () => backend.publishMany(messages(10))));
      inShell(folder.file, `vacuum into '${path}'`);
      await publishing;
      const restored = folder.open({ path });
      const { retained, groups } = await restored.stats();
      assert.ok(retained >= 6 && groups["g"]?.ready === retained, `${retained} messages`);
      const again = await restored.receive({ group: "g", leaseMs: 30_000 });
      assert.equal((await pull(again, 6)).length, 6);
    }));

  it("forgets ids whose window is over", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open({ dedupWindowMs: 50 });
      await backend.publishMany(Array.from({ length: 2_000 }, (_, n) => message(n, { id: `id-${n}` })));
      const db = new DatabaseSync(folder.file);
      await until(() => db.prepare("select count(*) as count from dedup").get()?.count === 0, "no ids are left");
      db.close();
    }));

  it("is one file again after a clean close", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      await backend.receive({ group: "g", leaseMs: 30_000 });
      await backend.publishMany(messages(100));
      await Promise.all([backend[Symbol.asyncDispose](), backend[Symbol.asyncDispose]()]);
      assert.deepEqual(readdirSync(folder.path), ["queue.db"]);
      await assert.rejects(backend.publish("a", {}), { code: "closed" });
      await assert.rejects(backend.receive({ group: "g", leaseMs: 1 }), { code: "closed" });
      const unused = folder.open({ path: join(folder.path, "unused.db") });
      await unused[Symbol.asyncDispose]();
      assert.ok(!existsSync(join(folder.path, "unused.db")));
    }));

  it("is opened again by the next use when that failed", { timeout }, () =>
    inFolder(async (folder) => {
      const path = join(folder.path, "later", "queue.db");
      const backend = folder.open({ path });
      await assert.rejects(backend.publish("a", {}), { code: "storage" });
      mkdirSync(join(folder.path, "later"));
      await backend.publish("a", {});
      assert.equal((await backend.stats()).retained, 1);
    }));
});

describe("isOlder", () => {
  it("compares versions by number", { timeout }, () => {
    assert.ok(isOlder("23.11.0", "24.0.0") && isOlder("2.9.9", "2.10.0") && isOlder("1.3", "1.4.0"));
    assert.ok(!isOlder("24.0.0", "24.0.0") && !isOlder("2.10.0-rc.1", "2.9.0") && !isOlder("100.0.0", "24.1.1"));
  });
});
