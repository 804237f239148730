/**
 * How a message leaves a group: what follows for those that waited behind it, and, where the group gives it up, its dead letter, written
 * in the same transaction.
 *
 * @module
 */

import { storable, type Store } from "./store.ts";

/**
 * What follows when messages have left a group: the next of an ordering key may come, and the log may be swept.
 *
 * @returns Whether something became due.
 */
export function finish(
  store: Store,
  groupId: number,
  positions: readonly number[],
  orderingKeys: readonly string[],
): boolean {
  const { connection, sweeper } = store;
  let wake = false;
  for (const orderingKey of orderingKeys) {
    wake = connection.run(
          `update claim set due_at = 0 where group_id = ?1 and due_at is null and position = (
         select position from claim where group_id = ?1 and ordering_key = ?2 order by position limit 1)`,
          groupId,
          orderingKey,
        ) > 0 || wake;
  }
  if (positions.length > 0) {
    sweeper.straggled(positions);
    sweeper.settled(positions.length);
  }
  return wake;
}

/** Why a message is given up. */
export interface Verdict {
  readonly reason: string;
  readonly error: string | null;
  readonly attempts: number;
}

/** A message of a group, at a position of the log. */
export interface Place {
  readonly position: number | null;
  readonly at?: number;
  readonly ordering_key: string | null;
}

/** Moves a message of a group to its dead letters, whether the group has claimed it or only read it. Runs inside a transaction. */
export function bury(store: Store, groupId: number, place: Place, { reason, error, attempts }: Verdict): void {
  const { connection, log, settings } = store;
  const position = place.at ?? place.position ?? 0;
  connection.run(
    `insert into dead_letter
       (group_id, id, key, body, content_type, headers, published_at, ordering_key, reason, error, attempts, dead_at)
     select ?, id, key, body, content_type, headers, published_at, ordering_key, ?, ?, ?, ? from ${log} where position = ?`,
    groupId,
    storable(reason),
    error === null ? null : storable(error),
    attempts,
    settings.now(),
    position,
  );
  connection.run("delete from claim where group_id = ? and position = ?", groupId, position);
  finish(store, groupId, [position], place.ordering_key === null ? [] : [place.ordering_key]);
}
