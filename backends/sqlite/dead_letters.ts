/**
 * Dead letters, listed, replayed and purged.
 *
 * @module
 */

import type { Body } from "../../core/codec.ts";
import type { DeadLetter, DeadLetterPage, DeadLetterStore } from "../../core/backend.ts";
import { findGroup } from "./groups.ts";
import { reservePositions } from "./log.ts";
import { decodeBody, decodeHeaders, type Store } from "./store.ts";

interface DeadRow {
  readonly seq: number;
  readonly id: string;
  readonly key: string;
  readonly body: Body;
  readonly content_type: string | null;
  readonly headers: string | null;
  readonly published_at: number;
  readonly ordering_key: string | null;
  readonly reason: string;
  readonly error: string | null;
  readonly attempts: number;
  readonly dead_at: number;
}

const columns =
  "seq, id, key, body, content_type, headers, published_at, ordering_key, reason, error, attempts, dead_at";

// Dead letters that one transaction moves or removes.
const stepRows = 256;

/** The dead letters of an exchange's groups. */
export class SqliteDeadLetters implements DeadLetterStore {
  readonly #open: () => Promise<Store>;

  constructor(open: () => Promise<Store>) {
    this.#open = open;
  }

  async list(group: string, options: { readonly limit: number; readonly cursor?: string }): Promise<DeadLetterPage> {
    const store = await this.#open();
    const groupId = findGroup(store, group)?.id;
    if (groupId === undefined) return { deadLetters: [] };
    const rows = store.connection.all<DeadRow>(
      `select ${columns} from dead_letter where group_id = ? and seq > ? order by seq limit ?`,
      groupId,
      options.cursor === undefined ? 0 : Number(options.cursor) || 0,
      options.limit + 1,
    );
    const page = rows.slice(0, options.limit);
    const last = page.at(-1);
    return {
      deadLetters: page.map((row) => toDeadLetter(group, row)),
      ...(rows.length > page.length && last !== undefined && { cursor: String(last.seq) }),
    };
  }

  async get(group: string, id: string): Promise<DeadLetter | undefined> {
    const store = await this.#open();
    const groupId = findGroup(store, group)?.id;
    if (groupId === undefined) return undefined;
    const row = store.connection.get<DeadRow>(
      `select ${columns} from dead_letter where group_id = ? and id = ? order by seq limit 1`,
      groupId,
      id,
    );
    return row === undefined ? undefined : toDeadLetter(group, row);
  }

  async replay(group: string, ids?: readonly string[]): Promise<number> {
    const store = await this.#open();
    const { connection, exchangeId, log, settings, signals } = store;
    return await this.#each(store, group, ids, (groupId, seqs) => {
      const first = reservePositions(store, seqs.length);
      for (const [index, seq] of seqs.entries()) {
        // To the end of the log, where only this group looks at it; its age counts from now.
        connection.run(
          `insert into ${log} (position, id, key, body, content_type, headers, published_at, available_at, ordering_key, only_group)
           select ?, id, key, body, content_type, headers, published_at, ?, ordering_key, group_id from dead_letter where seq = ?`,
          first + index,
          settings.now(),
          seq,
        );
      }
      connection.run("update exchange set stored = stored + ? where id = ?", seqs.length, exchangeId);
      return () => signals.notify(exchangeId, groupId);
    });
  }

  async purge(group: string, ids?: readonly string[]): Promise<number> {
    return await this.#each(await this.#open(), group, ids, () => () => {});
  }

  // Does something with dead letters and removes them, some at a time. Only those that were there at the start, as one that is replayed
  // may come back meanwhile.
  async #each(
    store: Store,
    group: string,
    ids: readonly string[] | undefined,
    action: (groupId: number, seqs: readonly number[]) => () => void,
  ): Promise<number> {
    const { connection, writer } = store;
    const groupId = findGroup(store, group)?.id;
    if (groupId === undefined) return 0;
    const newest = connection.get<{ seq: number }>(
      "select seq from dead_letter where group_id = ? order by seq desc limit 1",
      groupId,
    )?.seq ?? 0;
    const wanted = ids === undefined ? undefined : [...new Set(ids)];
    let count = 0;
    for (let at = 0;;) {
      const some = wanted?.slice(at, at + stepRows);
      if (some?.length === 0) return count;
      const done = await writer.submit({
        action: "change dead letters in",
        size: stepRows,
        run: () => {
          const seqs = selectSome(store, groupId, newest, some);
          if (seqs.length === 0) return { count: 0, after: () => {} };
          const after = action(groupId, seqs);
          connection.run("delete from dead_letter where seq in (select value from json_each(?))", JSON.stringify(seqs));
          return { count: seqs.length, after };
        },
        committed: ({ after }) => after(),
      });
      count += done.count;
      if (done.count < stepRows) {
        if (some === undefined) return count;
        at += stepRows;
      }
    }
  }
}

function selectSome(store: Store, groupId: number, newest: number, ids: readonly string[] | undefined): number[] {
  const rows = ids === undefined
    ? store.connection.all<{ seq: number }>(
      `select seq from dead_letter where group_id = ? and seq <= ? order by seq limit ${stepRows}`,
      groupId,
      newest,
    )
    : store.connection.all<{ seq: number }>(
      `select seq from dead_letter where group_id = ? and seq <= ? and id in (select value from json_each(?)) limit ${stepRows}`,
      groupId,
      newest,
      JSON.stringify(ids),
    );
  return rows.map((row) => row.seq);
}

function toDeadLetter(group: string, row: DeadRow): DeadLetter {
  return {
    id: row.id,
    key: row.key,
    body: decodeBody(row.body),
    ...(row.content_type !== null && { contentType: row.content_type }),
    headers: decodeHeaders(row.headers),
    publishedAt: row.published_at,
    group,
    reason: row.reason,
    attempts: row.attempts,
    deadAt: row.dead_at,
    ...(row.ordering_key !== null && { orderingKey: row.ordering_key }),
    ...(row.error !== null && { error: row.error }),
  };
}
