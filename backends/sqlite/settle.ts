/**
 * Settling: what a receiver still holds leaves its group, waits, or goes back; what it no longer holds is left alone.
 *
 * @module
 */

import type { Settlement } from "../../core/backend.ts";
import type { SqliteClaim } from "./claim.ts";
import { bury, finish } from "./bury.ts";
import { groupById } from "./groups.ts";
import { storable, type Store, wholeMs } from "./store.ts";

type Other = Exclude<Settlement, { verb: "ack" }>;

/** What settling did. */
export interface Settled {
  /** For each settlement, whether the claim was still held. */
  readonly held: boolean[];
  /** Whether something may be due for the group now, or at another time than before. */
  readonly wake: boolean;
}

interface ClaimRow {
  readonly position: number;
  readonly attempt: number;
  readonly ordering_key: string | null;
}

/** Settles claims of a group. Runs inside a transaction. */
export function settle(store: Store, groupId: number, settlements: readonly Settlement[]): Settled {
  const held: boolean[] = new Array(settlements.length).fill(false);
  const acks = new Map<number, number[]>();
  let wake = false;
  for (const [index, settlement] of settlements.entries()) {
    if (settlement.verb !== "ack") {
      held[index] = settleOther(store, groupId, settlement);
      wake = true;
      continue;
    }
    const { token } = settlement.claim as SqliteClaim;
    const indexes = acks.get(token);
    if (indexes === undefined) acks.set(token, [index]);
    else indexes.push(index);
  }
  for (const [token, indexes] of acks) wake = ackBatch(store, groupId, token, settlements, indexes, held) || wake;
  return { held, wake };
}

function ackBatch(
  store: Store,
  groupId: number,
  token: number,
  settlements: readonly Settlement[],
  indexes: readonly number[],
  held: boolean[],
): boolean {
  const { connection } = store;
  const claims = indexes.map((index) => settlements[index]?.claim as SqliteClaim);
  const range = contiguous(claims);
  // Counting first is quicker than a list of what was deleted; where the count differs, the list tells which are no longer held.
  if (range !== undefined && countBetween(store, groupId, token, range) === claims.length) {
    connection.run(
      "delete from claim where group_id = ? and token = ? and position between ? and ?",
      groupId,
      token,
      range[0],
      range[1],
    );
    for (const index of indexes) held[index] = true;
    return acked(store, groupId, claims);
  }
  const rows = connection.all<{ position: number }>(
    `delete from claim where group_id = ? and token = ? and position in (select value from json_each(?)) returning position`,
    groupId,
    token,
    JSON.stringify(claims.map((claim) => claim.position)),
  );
  const gone = new Set(rows.map((row) => row.position));
  const done: SqliteClaim[] = [];
  for (const index of indexes) {
    const claim = settlements[index]?.claim as SqliteClaim;
    // Deleting takes each out once, so a claim that is given twice is held but once.
    const wasHeld = gone.delete(claim.position);
    held[index] = wasHeld;
    if (wasHeld) done.push(claim);
  }
  return acked(store, groupId, done);
}

function countBetween(store: Store, groupId: number, token: number, range: readonly [number, number]): number {
  return store.connection.get<{ count: number }>(
    "select count(*) as count from claim where group_id = ? and token = ? and position between ? and ?",
    groupId,
    token,
    range[0],
    range[1],
  )?.count ?? 0;
}

function acked(store: Store, groupId: number, claims: readonly SqliteClaim[]): boolean {
  const keys: string[] = [];
  for (const { orderingKey } of claims) if (orderingKey !== undefined) keys.push(orderingKey);
  return finish(store, groupId, claims.map((claim) => claim.position), keys);
}

/**
 * The ends of a stretch of the log in which these are all that is left of their pull, so that one range can be deleted, which is
 * quicker than a list; `undefined` where it is not so.
 */
function contiguous(claims: readonly SqliteClaim[]): readonly [number, number] | undefined {
  const first = claims[0];
  const last = claims.at(-1);
  if (first === undefined || last === undefined) return undefined;
  let expected = 0;
  for (let index = first.index; index <= last.index; index++) {
    const claim = first.batch.claims[index];
    if (claim === undefined || claim.settled) continue;
    if (claims[expected++] !== claim) return undefined;
  }
  return expected === claims.length ? [first.position, last.position] : undefined;
}

function settleOther(store: Store, groupId: number, settlement: Other): boolean {
  const { connection, settings } = store;
  const { position, token } = settlement.claim as SqliteClaim;
  const row = connection.get<ClaimRow>(
    "select position, attempt, ordering_key from claim where group_id = ? and position = ? and token = ?",
    groupId,
    position,
    token,
  );
  if (row === undefined) return false;
  if (settlement.verb === "release") {
    connection.run(
      "update claim set attempt = attempt - 1, token = null, due_at = 0 where group_id = ? and position = ?",
      groupId,
      position,
    );
    return true;
  }
  const error = settlement.error ?? null;
  if (settlement.verb === "reject") {
    bury(store, groupId, row, { reason: settlement.reason, error, attempts: row.attempt });
    return true;
  }
  // A group that is gone has no claims, so the number is there.
  if (row.attempt >= (groupById(store, groupId)?.max_attempts ?? Infinity)) {
    bury(store, groupId, row, { reason: "exhausted", error, attempts: row.attempt });
    return true;
  }
  connection.run(
    "update claim set token = null, due_at = ?, error = ifnull(?, error) where group_id = ? and position = ?",
    wholeMs(settings.now() + settlement.delayMs),
    error === null ? null : storable(error),
    groupId,
    position,
  );
  return true;
}

/** Makes leases end later or sooner. Runs inside a transaction. @returns For each claim, whether it was still held. */
export function extend(store: Store, groupId: number, claims: readonly SqliteClaim[], leaseMs: number): boolean[] {
  const { connection, settings } = store;
  const end = wholeMs(settings.now() + leaseMs);
  const byToken = Map.groupBy(claims, (claim) => claim.token);
  const held = new Set<SqliteClaim>();
  for (const [token, some] of byToken) {
    const rows = connection.all<{ position: number }>(
      `update claim set due_at = ? where group_id = ? and token = ? and position in (select value from json_each(?))
       returning position`,
      end,
      groupId,
      token,
      JSON.stringify(some.map((claim) => claim.position)),
    );
    const positions = new Set(rows.map((row) => row.position));
    for (const claim of some) if (positions.has(claim.position)) held.add(claim);
  }
  return claims.map((claim) => held.has(claim));
}
