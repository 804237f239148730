/**
 * Groups: made, changed, removed, and gone when they expire.
 *
 * @module
 */

import type { Group, GroupOptions, GroupStore } from "../../core/backend.ts";
import { checkDuration, checkInteger } from "../../core/check.ts";
import { MessageQueueError } from "../../core/errors.ts";
import { checkFilter, checkName, everyKey } from "../../core/keys.ts";
import { type Store, wholeMs } from "./store.ts";

/** A group as it is stored. */
export interface GroupRow {
  readonly id: number;
  readonly name: string;
  readonly keys: string;
  readonly max_attempts: number;
  readonly expires_ms: number | null;
  readonly cursor: number;
  readonly seen_at: number;
}

const select = "select id, name, keys, max_attempts, expires_ms, cursor, seen_at from consumer_group";

/** Finds a group by its name. */
export function findGroup(store: Store, name: string): GroupRow | undefined {
  return store.connection.get<GroupRow>(`${select} where exchange_id = ? and name = ?`, store.exchangeId, name);
}

/** Finds a group by its number. */
export function groupById(store: Store, id: number): GroupRow | undefined {
  return store.connection.get<GroupRow>(`${select} where id = ?`, id);
}

/** The groups of the exchange, by name. */
export function allGroups(store: Store): GroupRow[] {
  return store.connection.all<GroupRow>(`${select} where exchange_id = ? order by name`, store.exchangeId);
}

/**
 * Finds a group or makes it. Runs inside a transaction.
 *
 * @throws {MessageQueueError} `group_conflict` when it has another filter.
 */
export function ensureGroup(store: Store, name: string, options: GroupOptions): GroupRow {
  const { connection, exchangeId, log } = store;
  const found = findGroup(store, name);
  if (found !== undefined) {
    if (options.keys === undefined || options.keys === found.keys) return found;
    throw new MessageQueueError(
      "group_conflict",
      `Cannot use the group ${JSON.stringify(name)} with the filter ${JSON.stringify(options.keys)}: it has ` +
        `${JSON.stringify(found.keys)}; change it by groups.update, or use another name`,
    );
  }
  const last = connection.get<{ last_position: number }>("select last_position from exchange where id = ?", exchangeId);
  const oldest = options.from === "latest"
    ? undefined
    : connection.get<{ position: number }>(`select position from ${log} where position > 0 order by position limit 1`);
  const cursor = oldest === undefined ? last?.last_position ?? 0 : oldest.position - 1;
  const row = connection.get<GroupRow>(
    `insert into consumer_group (exchange_id, name, keys, max_attempts, expires_ms, cursor, seen_at)
     values (?, ?, ?, ?, ?, ?, ?) returning id, name, keys, max_attempts, expires_ms, cursor, seen_at`,
    exchangeId,
    name,
    options.keys ?? everyKey,
    options.maxAttempts ?? 10,
    options.expiresMs === undefined ? null : wholeMs(options.expiresMs),
    cursor,
    store.settings.now(),
  );
  if (row === undefined) throw new Error("SQLite returned no row for the group that was made");
  store.sweeper.restart(cursor);
  return row;
}

/** Removes a group; what belongs to it is deleted in steps, by {@linkcode removeLeftovers}. Runs inside a transaction. */
export function removeGroup(store: Store, id: number): void {
  const { connection } = store;
  connection.run("delete from consumer_group where id = ?", id);
  connection.run("delete from consumer where group_id = ?", id);
  connection.run("insert into removed_group (id) values (?)", id);
  store.sweeper.restart(0);
}

// Rows deleted in one transaction for a group that is gone.
const stepRows = 512;

/** Deletes a part of what groups that are gone have left. Runs inside a transaction. @returns Whether there may be more. */
export function removeLeftovers(store: Store): boolean {
  const { connection } = store;
  const id = connection.get<{ id: number }>("select id from removed_group where id > 0 order by id limit 1")?.id;
  if (id === undefined) return false;
  const deleted = connection.run(
    `delete from claim where group_id = ?1 and position in (
       select position from claim where group_id = ?1 order by position limit ${stepRows})`,
    id,
  ) + connection.run(
    `delete from dead_letter where seq in (
       select seq from dead_letter where group_id = ? order by seq limit ${stepRows})`,
    id,
  );
  if (deleted === 0) connection.run("delete from removed_group where id = ?", id);
  return true;
}

function checkOptions({ keys, maxAttempts, expiresMs }: GroupOptions): void {
  if (keys !== undefined) checkFilter(keys);
  if (maxAttempts !== undefined) checkInteger("maxAttempts", maxAttempts, 1);
  if (expiresMs !== undefined) checkDuration("expiresMs", expiresMs, 1);
}

function notFound(name: string): MessageQueueError {
  return new MessageQueueError("not_found", `Cannot find the group ${JSON.stringify(name)}: make it by groups.create`);
}

/** The groups of an exchange. */
export class SqliteGroups implements GroupStore {
  readonly #open: () => Promise<Store>;
  readonly #expire: () => Promise<void>;

  constructor(open: () => Promise<Store>, expire: () => Promise<void>) {
    this.#open = open;
    this.#expire = expire;
  }

  async create(name: string, options: GroupOptions = {}): Promise<void> {
    checkName("group", name);
    checkOptions(options);
    const store = await this.#open();
    await store.writer.submit({ action: "make a group in", size: 1, run: () => ensureGroup(store, name, options) });
  }

  async update(name: string, options: Omit<GroupOptions, "from">): Promise<void> {
    checkOptions(options);
    const store = await this.#open();
    await store.writer.submit({
      action: "change a group in",
      size: 1,
      run: () => {
        const group = findGroup(store, name);
        if (group === undefined) throw notFound(name);
        store.connection.run(
          "update consumer_group set keys = ?, max_attempts = ?, expires_ms = ? where id = ?",
          options.keys ?? group.keys,
          options.maxAttempts ?? group.max_attempts,
          options.expiresMs === undefined ? group.expires_ms : wholeMs(options.expiresMs),
          group.id,
        );
        return group.id;
      },
      // A receiver that waits has passed by what the old filter did not match; its consumers' heartbeat may be too slow now.
      committed: (id) => store.signals.notify(store.exchangeId, id),
    });
  }

  async list(): Promise<readonly Group[]> {
    const store = await this.#open();
    await this.#expire();
    return allGroups(store).map((row) => ({
      name: row.name,
      keys: row.keys,
      maxAttempts: row.max_attempts,
      ...(row.expires_ms !== null && { expiresMs: row.expires_ms }),
    }));
  }

  async delete(name: string): Promise<void> {
    const store = await this.#open();
    await store.writer.submit({
      action: "remove a group from",
      size: 1,
      run: () => {
        const group = findGroup(store, name);
        if (group === undefined) throw notFound(name);
        removeGroup(store, group.id);
        return group.id;
      },
      committed: (id) => store.signals.notify(store.exchangeId, id),
    });
    const step = { action: "remove a group from", size: stepRows, run: () => removeLeftovers(store) };
    while (await store.writer.submit(step));
  }
}
