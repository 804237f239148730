/**
 * What is due for a group, and when the next thing will be.
 *
 * @module
 */

import type { Store } from "./store.ts";

/** What is due for a group, by what can be seen now. */
export interface Due {
  /** Up to where the group has read the log. */
  readonly cursor: number;
  /** The last position of the log. */
  readonly last: number;
  /** When the first of each kind is due: handed out before, put back, delayed. */
  readonly again: number | null;
  readonly first: number | null;
  readonly delayed: number | null;
}

/** Looks; `undefined` when the group is gone. */
export function whatIsDue(store: Store, groupId: number): Due | undefined {
  return store.connection.get<Due>(
    `select g.cursor, e.last_position as last,
       (select due_at from claim where group_id = ?1 and attempt > 0 and due_at is not null order by due_at limit 1) as again,
       (select due_at from claim where group_id = ?1 and attempt = 0 and due_at is not null order by due_at limit 1) as first,
       (select due_at from delayed where exchange_id = ?2 order by due_at limit 1) as delayed
     from consumer_group g, exchange e where g.id = ?1 and e.id = ?2`,
    groupId,
    store.exchangeId,
  );
}

/**
 * When something becomes due for a group, by what can be seen now: 0 when there is something to look at already, `undefined` when only
 * a write can change that.
 */
export function nextDue(store: Store, groupId: number): number | undefined {
  const due = whatIsDue(store, groupId);
  // The group is gone: the pull finds out.
  if (due === undefined || due.cursor < due.last) return 0;
  const times = [due.again, due.first, due.delayed].filter((time) => time !== null);
  return times.length === 0 ? undefined : Math.min(...times);
}
