/**
 * The end of the log: positions, and delayed messages whose time has come.
 *
 * @module
 */

import type { LogRow, Store } from "./store.ts";

/** Delayed messages that are moved to the log at once, at most. */
export const maxAdmit = 256;

/** Moves delayed messages that are due to the end of the log. Runs inside a transaction. @returns How many. */
export function admitDelayed(store: Store): number {
  const { connection, exchangeId, log, settings } = store;
  const now = settings.now();
  const rows = connection.all<LogRow & { seq: number; due_at: number }>(
    `select seq, due_at, id, key, body, content_type, headers, published_at from delayed
     where exchange_id = ? and due_at <= ? order by due_at, seq limit ${maxAdmit}`,
    exchangeId,
    now,
  );
  if (rows.length === 0) return 0;
  let position = reservePositions(store, rows.length);
  for (const row of rows) {
    connection.run(
      `insert into ${log} (position, id, key, body, content_type, headers, published_at, available_at)
       values (?, ?, ?, ?, ?, ?, ?, ?)`,
      position++,
      row.id,
      row.key,
      row.body,
      row.content_type,
      row.headers,
      row.published_at,
      row.due_at,
    );
  }
  connection.run(
    "delete from delayed where seq in (select value from json_each(?))",
    JSON.stringify(rows.map((row) => row.seq)),
  );
  return rows.length;
}

/** Takes positions at the end of the log. @returns The first. */
export function reservePositions(store: Store, count: number): number {
  const row = store.connection.get<{ last_position: number }>(
    "update exchange set last_position = last_position + ? where id = ? returning last_position",
    count,
    store.exchangeId,
  );
  return (row?.last_position ?? 0) - count + 1;
}
