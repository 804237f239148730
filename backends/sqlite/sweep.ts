/**
 * Deletes what every group has settled, in bounded steps.
 *
 * @module
 */

import type { Connection } from "./connection.ts";

// Rows deleted by one statement: some 0.3 ms.
const stepRows = 512;

// Steps in one transaction.
const maxSteps = 4;

// With so many settled messages behind one that is not (a long delay of a retry, a stuck handler), those behind are deleted one by one.
const gapRows = 4096;

/** Deletes from the log of one exchange. Its methods run inside a transaction. */
export class Sweeper {
  readonly #connection: Connection;
  readonly #exchangeId: number;
  readonly #log: string;
  // As if something were left to sweep: another process may have ended before it did.
  #settled = 1;
  #groups = 1;

  constructor(connection: Connection, exchangeId: number, log: string) {
    this.#connection = connection;
    this.#exchangeId = exchangeId;
    this.#log = log;
  }

  /**
   * Notes that a group is done with messages, and sweeps when it is worth it: looking costs some time for each group, so it is done
   * once for so many messages as there are groups.
   */
  settled(count: number): void {
    this.#settled += count;
    if (this.#settled >= this.#groups) this.sweep(false);
  }

  /** Whether something was settled since the last sweep. */
  get due(): boolean {
    return this.#settled > 0;
  }

  /**
   * Deletes what every group has settled. While there is no group, that is nothing.
   *
   * @param thorough Also what lies behind a message that is not settled, however few.
   * @returns Whether there may be more to delete.
   */
  sweep(thorough: boolean): boolean {
    const db = this.#connection;
    const row = db.get<{ groups: number; read: number | null; done: number | null; swept: number }>(
      `select count(*) as groups, min(g.cursor) as read,
         min(min(g.cursor, ifnull((select c.position - 1 from claim c where c.group_id = g.id order by c.position limit 1), g.cursor)))
           as done,
         (select swept_to from exchange where id = ?1) as swept
       from consumer_group g where g.exchange_id = ?1`,
      this.#exchangeId,
    );
    this.#settled = 0;
    if (row === undefined || row.read === null || row.done === null) return false;
    this.#groups = row.groups;
    let deleted = 0;
    let more = true;
    for (let step = 0; more && step < maxSteps; step++) {
      const first = db.get<{ position: number }>(
        `select position from ${this.#log} where position > 0 order by position limit 1`,
      )
        ?.position;
      more = first !== undefined && first <= row.done;
      if (first === undefined || !more) break;
      deleted += db.run(`delete from ${this.#log} where position <= ?`, Math.min(row.done, first + stepRows - 1));
    }
    let swept = Math.max(row.swept, row.done);
    if (!more && (thorough ? swept < row.read : row.read - swept > gapRows)) {
      for (let step = 0; step < maxSteps; step++) {
        const last = this.#stepEnd(swept, row.read);
        if (last === undefined) {
          swept = row.read;
          break;
        }
        deleted += this.#sweepBetween(swept, last);
        swept = last;
      }
      more = swept < row.read;
      db.run("update exchange set swept_to = ? where id = ?", swept, this.#exchangeId);
    }
    this.#forget(deleted);
    return more;
  }

  /** Deletes those of these positions that lie where it was swept already, unless some group is not done with them. */
  straggled(positions: readonly number[]): void {
    const db = this.#connection;
    const swept =
      db.get<{ swept_to: number }>("select swept_to from exchange where id = ?", this.#exchangeId)?.swept_to ?? 0;
    const below = positions.filter((position) => position <= swept);
    if (below.length === 0) return;
    this.#forget(db.run(
      `delete from ${this.#log} where position in (select value from json_each(?)) and not exists (
         select 1 from consumer_group g where g.exchange_id = ? and (g.cursor < ${this.#log}.position or exists (
           select 1 from claim c where c.group_id = g.id and c.position = ${this.#log}.position)))`,
      JSON.stringify(below),
      this.#exchangeId,
    ));
  }

  /** Looks at everything again from a position, as a group that starts there has read nothing, or one that held messages is gone. */
  restart(from: number): void {
    this.#connection.run("update exchange set swept_to = min(swept_to, ?) where id = ?", from, this.#exchangeId);
    this.#settled = this.#groups;
  }

  #stepEnd(from: number, to: number): number | undefined {
    return this.#connection.get<{ last: number | null }>(
      `select max(position) as last from (
         select position from ${this.#log} where position > ? and position <= ? order by position limit ${stepRows})`,
      from,
      to,
    )?.last ?? undefined;
  }

  #sweepBetween(from: number, to: number): number {
    const held = this.#connection.all<{ position: number }>(
      `select c.position from consumer_group g cross join claim c on c.group_id = g.id and c.position > ? and c.position <= ?
       where g.exchange_id = ?`,
      from,
      to,
      this.#exchangeId,
    );
    return this.#connection.run(
      `delete from ${this.#log} where position > ? and position <= ? and position not in (select value from json_each(?))`,
      from,
      to,
      JSON.stringify(held.map((row) => row.position)),
    );
  }

  #forget(deleted: number): void {
    if (deleted === 0) return;
    this.#connection.run("update exchange set stored = stored - ? where id = ?", deleted, this.#exchangeId);
  }
}
