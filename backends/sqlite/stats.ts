/**
 * Counting what is where, without blocking the event loop for long: what is beyond a bound is estimated, and says so.
 *
 * @module
 */

import type { GroupStats, QueueStats } from "../../core/backend.ts";
import { compileFilter } from "../../core/keys.ts";
import { allGroups, type GroupRow } from "./groups.ts";
import type { Store } from "./store.ts";
import { nextTurn } from "./writer.ts";

// Rows of one kind that are counted one by one for a group; beyond, the count is a bound.
const maxCounted = 10_000;

// Groups with few messages that are counted before others have their turn.
const groupsAtOnce = 16;

interface Count {
  readonly count: number;
  readonly oldest: number | undefined;
  readonly approximate: boolean;
}

/** Counts. */
export async function stats(store: Store): Promise<QueueStats> {
  const { connection, exchangeId, sweeper, writer } = store;
  // What all have acked is not worth counting.
  while (await writer.submit({ action: "write to", size: 1, run: () => sweeper.sweep(true) }));
  const retained = connection.get<{ stored: number }>("select stored from exchange where id = ?", exchangeId)?.stored ??
    0;
  const groups: Record<string, GroupStats> = Object.create(null);
  for (const [index, group] of allGroups(store).entries()) {
    if (index % groupsAtOnce === groupsAtOnce - 1) await nextTurn();
    groups[group.name] = countGroup(store, group);
  }
  return { retained, groups };
}

function countGroup(store: Store, group: GroupRow): GroupStats {
  const { connection, log, settings } = store;
  const now = settings.now();
  const claims = connection.get<{ total: number; held: number; later: number; first: number | null }>(
    `select count(*) as total, ifnull(sum(token is not null), 0) as held,
       ifnull(sum(token is null and due_at > ?), 0) as later, min(position) as first
     from (select position, token, due_at from claim where group_id = ? order by position limit ${maxCounted})`,
    now,
    group.id,
  ) ?? { total: 0, held: 0, later: 0, first: null };
  const firstClaimed = claims.first === null ? undefined : connection.get<{ published_at: number }>(
    `select published_at from ${log} where position = ?`,
    claims.first,
  )?.published_at;
  const unread = countUnread(store, group);
  const delayed = countDelayed(store, group);
  const count = (sql: string, ...values: number[]) => connection.get<{ count: number }>(sql, ...values)?.count ?? 0;
  const dead = count(
    `select count(*) as count from (select 1 from dead_letter where group_id = ? limit ${maxCounted})`,
    group.id,
  );
  const oldest = Math.min(firstClaimed ?? Infinity, unread.oldest ?? Infinity);
  const approximate = unread.approximate || delayed.approximate || claims.total === maxCounted || dead === maxCounted;
  return {
    ready: unread.count + claims.total - claims.held - claims.later,
    delayed: delayed.count + claims.later,
    inFlight: claims.held,
    dead,
    consumers: count("select count(*) as count from consumer where group_id = ? and alive_until > ?", group.id, now),
    oldestAgeMs: oldest === Infinity ? 0 : Math.max(0, now - oldest),
    ...(approximate && { approximate }),
  };
}

interface KeyRow {
  readonly position: number;
  readonly key: string;
  readonly published_at: number;
  readonly only_group: number | null;
}

function countUnread(store: Store, group: GroupRow): Count {
  const { connection, exchangeId, log } = store;
  const rows = connection.all<KeyRow>(
    `select position, key, published_at, only_group from ${log} where position > ? order by position limit ${maxCounted}`,
    group.cursor,
  );
  const matches = compileFilter(group.keys);
  const wanted = rows.filter((row) => row.only_group === null ? matches(row.key) : row.only_group === group.id);
  const oldest = wanted[0]?.published_at;
  const end = rows.at(-1)?.position;
  if (rows.length < maxCounted || end === undefined) return { count: wanted.length, oldest, approximate: false };
  const last = connection.get<{ last_position: number }>("select last_position from exchange where id = ?", exchangeId);
  return { count: wanted.length + (last?.last_position ?? end) - end, oldest, approximate: true };
}

function countDelayed(store: Store, group: GroupRow): Count {
  const rows = store.connection.all<{ key: string }>(
    `select key from delayed where exchange_id = ? order by due_at limit ${maxCounted}`,
    store.exchangeId,
  );
  const matches = compileFilter(group.keys);
  const count = rows.filter((row) => matches(row.key)).length;
  return { count, oldest: undefined, approximate: rows.length === maxCounted };
}
