/**
 * Claiming: what is due again goes first and alone, then what was put back unhandled, then what the group has not read yet.
 *
 * @module
 */

import type { KeyMatcher } from "../../core/keys.ts";
import { compileFilter, everyKey } from "../../core/keys.ts";
import { bury } from "./bury.ts";
import type { ClaimBatch, SqliteClaim } from "./claim.ts";
import { whatIsDue } from "./due.ts";
import { groupById, type GroupRow } from "./groups.ts";
import { admitDelayed, maxAdmit } from "./log.ts";
import { decodeBody, decodeHeaders, type LogRow, type Store, wholeMs } from "./store.ts";

/** What a pull found. */
export interface Pulled {
  readonly claims: readonly SqliteClaim[];
  /** Whether looking again at once may find more. */
  readonly more: boolean;
  /** Whether the group is gone. */
  readonly gone: boolean;
}

/** What is pulled, and for whom. */
export interface PullRequest {
  readonly groupId: number;
  readonly max: number;
  readonly leaseMs: number;
  readonly token: number;
}

// Rows of the log that one pull reads at most before others have their turn: a group may match few keys.
const maxScan = 2048;
const maxPage = 512;

// Messages that one pull sends to the dead letters at most.
const maxBury = 64;

const logColumns =
  "l.position, l.id, l.key, l.body, l.content_type, l.headers, l.published_at, l.available_at, l.ordering_key, l.only_group";

const compiled = new Map<string, KeyMatcher>();

function matcher(filter: string): KeyMatcher {
  let matches = compiled.get(filter);
  if (matches === undefined) {
    // Filters are few; a program that makes them without end must not fill the memory.
    if (compiled.size >= 1024) compiled.clear();
    compiled.set(filter, matches = compileFilter(filter));
  }
  return matches;
}

/** Claims messages. Runs inside a transaction. */
export function pull(store: Store, request: PullRequest): Pulled {
  const group = groupById(store, request.groupId);
  const due = whatIsDue(store, request.groupId);
  if (group === undefined || due === undefined) return { claims: [], more: false, gone: true };
  const now = store.settings.now();
  const isDue = (time: number | null) => time !== null && time <= now;
  const admitted = isDue(due.delayed) ? admitDelayed(store) : 0;
  const batch = new Batch(store, request, group, now);
  if (isDue(due.again)) batch.takeAgain();
  if (batch.claims.length === 0 && !batch.exhausted) {
    if (isDue(due.first)) batch.takePutBack();
    batch.takeFresh(due.last + admitted);
  }
  const more = batch.exhausted || admitted === maxAdmit;
  return { claims: batch.claims, more, gone: false };
}

class Batch {
  readonly claims: SqliteClaim[] = [];
  readonly #claimed: ClaimBatch = { claims: this.claims, open: 0 };
  /** Whether it ended because it did enough work, not because nothing was left. */
  exhausted = false;
  readonly #store: Store;
  readonly #request: PullRequest;
  readonly #group: GroupRow;
  readonly #now: number;

  constructor(store: Store, request: PullRequest, group: GroupRow, now: number) {
    this.#store = store;
    this.#request = request;
    this.#group = group;
    this.#now = now;
  }

  get #leaseEnd(): number {
    return wholeMs(this.#now + this.#request.leaseMs);
  }

  /** One message that was handed out before. */
  takeAgain(): void {
    const { connection, log } = this.#store;
    const { groupId, token } = this.#request;
    for (let count = 0; count < maxBury; count++) {
      const row = connection.get<LogRow & { at: number; attempt: number; error: string | null }>(
        `select c.position as at, c.attempt, c.error, ${logColumns}
         from claim c left join ${log} l on l.position = c.position
         where c.group_id = ? and c.attempt > 0 and c.due_at <= ? order by c.due_at, c.position limit 1`,
        groupId,
        this.#now,
      );
      if (row === undefined) return;
      const reason = row.attempt >= this.#group.max_attempts ? "exhausted" : this.#refusal(row);
      if (reason !== undefined) {
        bury(this.#store, groupId, row, { reason, error: row.error, attempts: row.attempt });
        continue;
      }
      connection.run(
        "update claim set attempt = attempt + 1, token = ?, due_at = ? where group_id = ? and position = ?",
        token,
        this.#leaseEnd,
        groupId,
        row.at,
      );
      this.#add(row, row.attempt + 1);
      return;
    }
    this.exhausted = true;
  }

  /** Messages that were given back unhandled, or whose ordering key has become free. */
  takePutBack(): void {
    const { connection, log } = this.#store;
    const { groupId, max, token } = this.#request;
    const rows = connection.all<LogRow & { at: number }>(
      `select c.position as at, ${logColumns} from claim c left join ${log} l on l.position = c.position
       where c.group_id = ? and c.attempt = 0 and c.due_at <= ? order by c.due_at, c.position limit ?`,
      groupId,
      this.#now,
      Math.min(max, maxPage),
    );
    if (rows.length === 0) return;
    const positions: number[] = [];
    for (const row of rows) {
      const reason = this.#refusal(row);
      if (reason !== undefined) {
        bury(this.#store, groupId, row, { reason, error: null, attempts: 0 });
      } else {
        positions.push(row.at);
        this.#add(row, 1);
      }
    }
    connection.run(
      `update claim set attempt = 1, token = ?, due_at = ?
       where group_id = ? and position in (select value from json_each(?))`,
      token,
      this.#leaseEnd,
      groupId,
      JSON.stringify(positions),
    );
  }

  /** Messages that the group has not read yet, up to the last position of the log. */
  takeFresh(last: number): void {
    const { connection, log, sweeper } = this.#store;
    const { groupId, max } = this.#request;
    const matches = this.#group.keys === everyKey ? undefined : matcher(this.#group.keys);
    const from = this.#group.cursor;
    let cursor = from;
    let scanned = 0;
    let passed = 0;
    let page = Math.min(max - this.claims.length, maxPage);
    const plain: number[] = [];
    while (this.claims.length < max && cursor < last && scanned < maxScan) {
      const rows = connection.all<LogRow>(
        `select ${logColumns} from ${log} l where l.position > ? order by l.position limit ?`,
        cursor,
        page,
      );
      for (const row of rows) {
        if (this.claims.length === max) break;
        cursor = row.position;
        // An ordered message takes statements of its own.
        scanned += row.ordering_key === null ? 1 : 4;
        const wanted = row.only_group === null ? matches === undefined || matches(row.key) : row.only_group === groupId;
        const reason = wanted ? this.#refusal(row) : undefined;
        if (!wanted) {
          passed++;
        } else if (reason !== undefined) {
          bury(this.#store, groupId, row, { reason, error: null, attempts: 0 });
        } else if (row.ordering_key === null) {
          plain.push(row.position);
          this.#add(row, 1);
        } else {
          this.#takeOrdered(row, row.ordering_key);
        }
      }
      // Where the log has holes at its end, the cursor goes on to what was published last.
      if (rows.length < page && this.claims.length < max) cursor = Math.max(cursor, last);
      page = Math.min(maxPage, page * 4);
    }
    this.#insertClaims(plain);
    if (cursor !== from) connection.run("update consumer_group set cursor = ? where id = ?", cursor, groupId);
    if (passed > 0) sweeper.settled(passed);
    this.exhausted ||= cursor < last && this.claims.length < max;
  }

  #insertClaims(positions: readonly number[]): void {
    if (positions.length === 0) return;
    this.#store.connection.run(
      `insert into claim (group_id, position, attempt, due_at, token)
       select ?, value, 1, ?, ? from json_each(?)`,
      this.#request.groupId,
      this.#leaseEnd,
      this.#request.token,
      JSON.stringify(positions),
    );
  }

  // Handed out only when no earlier one of its key is in the group's hands; else it waits behind that one.
  #takeOrdered(row: LogRow, orderingKey: string): void {
    const { connection } = this.#store;
    const { groupId, token } = this.#request;
    const held = connection.get(
      "select 1 from claim where group_id = ? and ordering_key = ? limit 1",
      groupId,
      orderingKey,
    ) !== undefined;
    connection.run(
      "insert into claim (group_id, position, attempt, due_at, token, ordering_key) values (?, ?, ?, ?, ?, ?)",
      groupId,
      row.position,
      held ? 0 : 1,
      held ? null : this.#leaseEnd,
      held ? null : token,
      orderingKey,
    );
    if (!held) this.#add(row, 1);
  }

  // Why a message is not handed out. One that is gone from the log, which no code of this package does, must not be looked at for ever.
  #refusal(row: LogRow): string | undefined {
    if (row.position === null) return "lost";
    const { maxAgeMs } = this.#store.settings;
    if (maxAgeMs === undefined) return undefined;
    return this.#now - Math.max(row.published_at, row.available_at ?? 0) > maxAgeMs ? "expired" : undefined;
  }

  #add(row: LogRow, attempt: number): void {
    const claim: SqliteClaim = {
      id: row.id,
      key: row.key,
      body: decodeBody(row.body),
      ...(row.content_type !== null && { contentType: row.content_type }),
      headers: decodeHeaders(row.headers),
      publishedAt: row.published_at,
      attempt,
      position: row.position,
      token: this.#request.token,
      batch: this.#claimed,
      index: this.claims.length,
      settled: false,
    };
    this.claims.push(row.ordering_key === null ? claim : { ...claim, orderingKey: row.ordering_key });
    this.#claimed.open++;
  }
}
