/**
 * On SQLite: bare statements, and a loop as one would write it for one consumer, on the same `node:sqlite`.
 *
 * @module
 */

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SqliteBackend } from "../../backends/sqlite.ts";
import { batches, type Candidate, inFlight, type Load, type Setting, type Subject } from "../work.ts";
import { backendAlone, queue } from "./ours.ts";
import { fedifySqlite, plainjob } from "./peers.ts";

const leaseMs = 30_000;

// Commits reach the disk before a publish resolves, in all of these.
function open({ folder }: Setting, schema: string): DatabaseSync {
  const db = new DatabaseSync(join(folder, "hand.db"));
  db.exec(`pragma journal_mode = wal; pragma synchronous = FULL; ${schema}`);
  return db;
}

/** The limit: whole batches as one JSON text, read and deleted without a lease. */
const bare: Candidate = async (setting): Promise<Subject> => {
  const db = open(setting, "create table queue (seq integer primary key autoincrement, body text not null)");
  const insert = db.prepare("insert into queue (body) select value from json_each(?)");
  const remove = db.prepare(
    "delete from queue where seq in (select seq from queue order by seq limit ?) returning body",
  );
  return looping(db, setting.load, (items) => {
    insert.run(JSON.stringify(items.map((item) => JSON.stringify(item.payload))));
  }, () => {
    const rows = remove.all(inFlight) as { body: string }[];
    for (const { body } of rows) JSON.parse(body);
    return rows.length;
  });
};

/** The same columns as ours, claim by lease, delete as ack. */
const loop: Candidate = async (setting): Promise<Subject> => {
  const db = open(
    setting,
    `create table queue (seq integer primary key autoincrement, id text not null, key text not null, body text not null,
      headers text, published_at integer not null, attempt integer not null default 0, lease integer not null default 0)`,
  );
  const begin = db.prepare("begin immediate");
  const commit = db.prepare("commit");
  const insert = db.prepare("insert into queue (id, key, body, headers, published_at) values (?, ?, ?, ?, ?)");
  const claim = db.prepare(`update queue set lease = ?, attempt = attempt + 1
    where seq in (select seq from queue where lease < ? order by seq limit ?)
    returning seq, id, key, body, headers, published_at, attempt`);
  const remove = db.prepare("delete from queue where seq in (select value from json_each(?))");
  return looping(db, setting.load, (items) => {
    begin.run();
    for (const { key, payload } of items) {
      insert.run(crypto.randomUUID(), key, JSON.stringify(payload), null, Date.now());
    }
    commit.run();
  }, () => {
    begin.run();
    const rows = claim.all(Date.now() + leaseMs, Date.now(), inFlight) as { seq: number; body: string }[];
    commit.run();
    for (const { body } of rows) JSON.parse(body);
    begin.run();
    remove.run(JSON.stringify(rows.map((row) => row.seq)));
    commit.run();
    return rows.length;
  });
};

// `node:sqlite` blocks, so such a program does one batch after the other.
function looping(
  db: DatabaseSync,
  load: Load,
  publish: (items: readonly ReturnType<Load>[]) => void,
  consume: () => number,
): Subject {
  const put = ({ from, size }: { readonly from: number; readonly size: number }) =>
    publish(Array.from({ length: size }, (_, n) => load(from + n)));
  return {
    publish: async (count) => batches(count).forEach(put),
    consume: async (count) => {
      for (let left = count; left > 0;) left -= consume();
    },
    through: async (count) => {
      for (const batch of batches(count)) {
        put(batch);
        consume();
      }
    },
    close: async () => db.close(),
  };
}

/** Our backend, as durable as it is by default. */
export const openSqlite = ({ folder }: Setting): SqliteBackend => new SqliteBackend({ path: join(folder, "queue.db") });

const openNormal = ({ folder }: Setting): SqliteBackend =>
  new SqliteBackend({ path: join(folder, "queue.db"), synchronous: "NORMAL" });

/** By name. */
export const sqlite: Readonly<Record<string, Candidate>> = {
  "bare batches": bare,
  "batched loop": loop,
  backend: backendAlone(openSqlite),
  consume: queue(openSqlite, "consume"),
  "subscribe 1": queue(openSqlite, { concurrency: 1 }),
  "subscribe 64": queue(openSqlite, { concurrency: 64 }),
  "subscribe 64, NORMAL": queue(openNormal, { concurrency: 64 }),
  plainjob,
  "Fedify SQLite": fedifySqlite,
};
