/**
 * The connection to the file: opening, checks, and the one cache of statements.
 *
 * @module
 */

import { closeSync, openSync, realpathSync } from "node:fs";
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { MessageQueueError } from "../../core/errors.ts";
import { leastVersions, runtime, runtimeVersion } from "../../core/runtime.ts";
import { isBusy, storageError } from "./errors.ts";
import type { Settings } from "./options.ts";
import { applicationId, createLog, migrations, schemaVersion } from "./schema.ts";

/** A value that can be bound to a parameter. */
export type Value = SQLInputValue;

/** An open file. Statements are made once, by their text. */
export class Connection {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** The file's real path, the same for everyone who has opened it. */
  readonly path: string;
  /** Whether opening has made the file. */
  readonly isNew: boolean;

  constructor(db: DatabaseSync, path: string, isNew: boolean) {
    this.#db = db;
    this.path = path;
    this.isNew = isNew;
  }

  /** Whether a transaction is open. */
  get inTransaction(): boolean {
    return this.#db.isTransaction;
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** The first row. */
  get<Row>(sql: string, ...values: Value[]): Row | undefined {
    return this.#prepare(sql).get(...values) as Row | undefined;
  }

  /** Every row. */
  all<Row>(sql: string, ...values: Value[]): Row[] {
    return this.#prepare(sql).all(...values) as Row[];
  }

  /** Runs a statement, and returns how many rows it changed. */
  run(sql: string, ...values: Value[]): number {
    return Number(this.#prepare(sql).run(...values).changes);
  }

  /** The texts of the statements used so far, for tests that look at their query plans. */
  get statements(): readonly string[] {
    return [...this.#statements.keys()];
  }

  /** Closes the file. The last connection to it folds the write-ahead log into the file and removes it. */
  close(): void {
    this.#db.close();
  }
}

/** An open file with its exchange. */
export interface Opened {
  readonly connection: Connection;
  readonly exchangeId: number;
}

/**
 * Opens the file, makes it when there is none, and brings its tables up to date.
 *
 * @param settings The settings.
 * @returns The connection, and the exchange's number in the file.
 * @throws {MessageQueueError} `storage` when the file is none of ours or cannot be used; it is then left as it was. `connection` when
 *   another process held its lock for `lockTimeoutMs`. `unsupported` when the runtime is too old.
 */
export async function open(settings: Settings): Promise<Opened> {
  const { path } = settings;
  const DatabaseSync = await loadDriver();
  let db: DatabaseSync | undefined;
  try {
    const isNew = createFile(path);
    // No `timeout`: waiting inside SQLite would block the event loop.
    db = new DatabaseSync(path, { timeout: 0 });
    const opened = db;
    const deadline = performance.now() + settings.lockTimeoutMs;
    const version = await whenFree(deadline, () => checkIdentity(opened, path));
    await whenFree(deadline, () => opened.exec("pragma journal_mode = wal"));
    db.exec(`pragma synchronous = ${settings.synchronous}`);
    // After a burst, what the write-ahead log holds beyond this is cut off at its next restart.
    db.exec("pragma journal_size_limit = 8388608");
    const exchangeId = await whenFree(deadline, () => prepareTables(opened, settings.exchange, version));
    return { connection: new Connection(db, realpathSync(path), isNew), exchangeId };
  } catch (error) {
    db?.close();
    throw storageError("open", path, error);
  }
}

async function loadDriver(): Promise<typeof DatabaseSync> {
  const problem = `Cannot use SQLite on ${runtime} ${runtimeVersion}: at least ${leastVersions[runtime]} is needed`;
  if (isOlder(runtimeVersion, leastVersions[runtime])) throw new MessageQueueError("unsupported", problem);
  try {
    return (await import("node:sqlite")).DatabaseSync;
  } catch (error) {
    throw new MessageQueueError("unsupported", problem, { cause: error });
  }
}

/** Whether a version such as `24.1.0` is below another. */
export function isOlder(version: string, least: string): boolean {
  const [have, want] = [version, least].map((text) => text.split(".").map((part) => Number.parseInt(part, 10)));
  for (let at = 0; at < 3; at++) {
    const difference = (have?.[at] ?? 0) - (want?.[at] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

// SQLite would make the file with the mode that the umask leaves, readable by others. Only a file that is new is opened here: closing
// any descriptor of a database drops the locks that this process holds on it.
function createFile(path: string): boolean {
  try {
    closeSync(openSync(path, "wx", 0o600));
    return true;
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "EEXIST") return false;
    if (code === "ENOENT") {
      throw new MessageQueueError("storage", `Cannot open the queue file ${path}: its folder does not exist; make it`, {
        cause: error,
      });
    }
    throw error;
  }
}

async function whenFree<T>(deadline: number, action: () => T): Promise<T> {
  for (;;) {
    try {
      return action();
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
    }
    await sleep(1 + Math.random() * 4);
  }
}

function single(db: DatabaseSync, sql: string): number {
  return Number(Object.values(db.prepare(sql).get() ?? { value: 0 })[0]);
}

function checkIdentity(db: DatabaseSync, path: string): number {
  const version = single(db, "pragma user_version");
  const id = single(db, "pragma application_id");
  if (id !== applicationId && (id !== 0 || version !== 0 || single(db, "select count(*) from sqlite_schema") > 0)) {
    throw new MessageQueueError(
      "storage",
      `Cannot open the queue file ${path}: it is another program's database, and was left as it is; name another file`,
    );
  }
  if (version > schemaVersion) {
    throw new MessageQueueError(
      "storage",
      `Cannot open the queue file ${path}: a newer version of this package wrote it (schema ${version}, known up to ` +
        `${schemaVersion}); it was left as it is; update this package`,
    );
  }
  return version;
}

interface ExchangeRow {
  readonly id: number;
}

function prepareTables(db: DatabaseSync, exchange: string, seen: number): number {
  const find = () => db.prepare("select id from exchange where name = ?").get(exchange) as ExchangeRow | undefined;
  if (seen === schemaVersion) {
    const row = find();
    if (row !== undefined) return row.id;
  }
  db.exec("begin immediate");
  try {
    // Read again under the lock: another process may have been here first.
    const version = single(db, "pragma user_version");
    for (const step of migrations.slice(version)) db.exec(step);
    if (version < schemaVersion) {
      db.exec(`pragma user_version = ${schemaVersion}`);
      db.exec(`pragma application_id = ${applicationId}`);
    }
    let row = find();
    if (row === undefined) {
      row = db.prepare("insert into exchange (name) values (?) returning id").get(exchange) as unknown as ExchangeRow;
      db.exec(createLog(row.id));
    }
    db.exec("commit");
    return row.id;
  } catch (error) {
    if (db.isTransaction) db.exec("rollback");
    throw error;
  }
}
