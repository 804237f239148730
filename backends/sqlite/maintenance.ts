/**
 * What has to be done from time to time, though nobody calls: signs of life, groups that expire, ids that are forgotten, what is left to
 * delete, and the size of the write-ahead log.
 *
 * @module
 */

import { statSync } from "node:fs";
import { clearInterval, setInterval } from "node:timers";
import { isBusy } from "./errors.ts";
import { removeGroup, removeLeftovers } from "./groups.ts";
import type { SqliteReceiver } from "./receiver.ts";
import type { Store } from "./store.ts";

const tickMs = 1_000;

/** How often a consumer says that it lives, at least, in milliseconds; it counts as gone after three times as long. */
const maxBeatMs = 10_000;

// Above this, the write-ahead log is started anew as soon as no reader keeps it.
const maxWalBytes = 64 * 1024 * 1024;

// Ids forgotten in one transaction.
const maxForget = 512;

interface ExpiringRow {
  readonly id: number;
  readonly expires_ms: number;
  readonly seen: number;
}

/** Does what is due; one for each backend. */
export class Maintenance {
  readonly #store: Store;
  readonly #receivers: ReadonlySet<SqliteReceiver>;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #suspects = new Map<number, { readonly seen: number; readonly since: number }>();
  #quick: ReturnType<typeof setInterval> | undefined;
  #quickMs = Infinity;
  #lastBeat = performance.now();
  #running = false;

  constructor(store: Store, receivers: ReadonlySet<SqliteReceiver>) {
    this.#store = store;
    this.#receivers = receivers;
    this.#timer = setInterval(() => void this.#tick(), tickMs);
    this.#timer.unref();
  }

  /** Stops. */
  stop(): void {
    clearInterval(this.#timer);
    clearInterval(this.#quick);
    this.#quick = undefined;
  }

  /** How long a consumer that was just heard of counts as alive. */
  aliveMs(expiresMs: number | null): number {
    return 3 * beatMs(expiresMs);
  }

  /** Called when a receiver came or went: a group that expires quickly wants to hear of its consumers more often. */
  receiversChanged(): void {
    const beats = [...this.#receivers].map((receiver) => beatMs(receiver.expiresMs));
    const quickMs = Math.min(...beats);
    if (quickMs === this.#quickMs) return;
    this.#quickMs = quickMs;
    clearInterval(this.#quick);
    this.#quick = undefined;
    if (quickMs >= tickMs) return;
    this.#quick = setInterval(() => void this.#tick(), quickMs);
    this.#quick.unref();
  }

  async #tick(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      await this.#beat();
      await this.expire();
      await this.#clean();
      this.#boundWal();
    } catch (error) {
      // Nothing depends on it being now; the next tick tries again.
      this.#store.settings.logger.debug("Maintenance of the SQLite queue failed", error);
    } finally {
      this.#running = false;
    }
  }

  async #beat(): Promise<void> {
    const due = Math.min(this.#quickMs, maxBeatMs);
    if (this.#receivers.size === 0 || performance.now() - this.#lastBeat < due - 1) return;
    this.#lastBeat = performance.now();
    await this.#store.writer.submit({
      action: "write to",
      size: this.#receivers.size,
      run: () => {
        for (const { id, groupId, expiresMs } of this.#receivers) {
          sayAlive(this.#store, id, groupId, this.aliveMs(expiresMs));
        }
      },
    });
  }

  /**
   * Removes groups that had no consumer for so long as they say.
   *
   * The clock may have been set, and a living consumer then looks dead until its next sign of life: so a group must have looked expired,
   * without a new sign, for a while by a clock that cannot be set.
   */
  async expire(): Promise<void> {
    const { connection, exchangeId, settings, signals, writer } = this.#store;
    const rows = connection.all<ExpiringRow>(
      `select g.id, g.expires_ms,
         max(g.seen_at, ifnull((select max(alive_until) from consumer c where c.group_id = g.id), 0)) as seen
       from consumer_group g where g.exchange_id = ? and g.expires_ms is not null`,
      exchangeId,
    );
    const now = performance.now();
    const suspects = new Set<number>();
    const doomed: ExpiringRow[] = [];
    for (const row of rows) {
      if (settings.now() - row.seen < row.expires_ms) continue;
      suspects.add(row.id);
      const suspect = this.#suspects.get(row.id);
      if (suspect?.seen !== row.seen) this.#suspects.set(row.id, { seen: row.seen, since: now });
      else if (now - suspect.since >= this.aliveMs(row.expires_ms)) doomed.push(row);
    }
    for (const id of this.#suspects.keys()) if (!suspects.has(id)) this.#suspects.delete(id);
    for (const { id, seen } of doomed) {
      await writer.submit({
        action: "remove a group from",
        size: 1,
        run: () => {
          const row = connection.get<{ seen: number }>(
            `select max(g.seen_at, ifnull((select max(alive_until) from consumer c where c.group_id = g.id), 0)) as seen
             from consumer_group g where g.id = ?`,
            id,
          );
          if (row?.seen === seen) removeGroup(this.#store, id);
        },
        committed: () => signals.notify(exchangeId, id),
      });
    }
  }

  async #clean(): Promise<void> {
    const { connection, settings, sweeper, writer } = this.#store;
    const now = settings.now();
    const forget = connection.get("select 1 from dedup where expires_at <= ? limit 1", now) !== undefined;
    const leftovers = connection.get("select 1 from removed_group limit 1") !== undefined;
    if (!forget && !leftovers && !sweeper.due) return;
    let more = true;
    while (more) {
      more = await writer.submit({
        action: "write to",
        size: maxForget,
        run: () => {
          const forgotten = connection.run(
            `delete from dedup where rowid in (select rowid from dedup where expires_at <= ? limit ${maxForget})`,
            now,
          );
          const left = removeLeftovers(this.#store);
          return sweeper.sweep(false) || left || forgotten === maxForget;
        },
      });
    }
  }

  // A checkpoint cannot start the log anew while some reader is in it; with readers that take turns it may never find the moment.
  #boundWal(): void {
    const { connection } = this.#store;
    const size = statSync(`${connection.path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
    if (size <= maxWalBytes || connection.inTransaction) return;
    try {
      connection.get("pragma wal_checkpoint(truncate)");
    } catch (error) {
      if (!isBusy(error)) throw error;
    }
  }
}

function beatMs(expiresMs: number | null): number {
  return Math.max(20, Math.min(maxBeatMs, (expiresMs ?? Infinity) / 3));
}

/** Notes that a consumer lives. Runs inside a transaction. */
export function sayAlive(store: Store, id: number, groupId: number, aliveMs: number): void {
  store.connection.run(
    `insert into consumer (id, group_id, alive_until) values (?1, ?2, ?3)
     on conflict (id) do update set group_id = ?2, alive_until = ?3`,
    id,
    groupId,
    Math.ceil(store.settings.now() + aliveMs),
  );
}

// One that is alive, and was only away for so long (a machine that slept), says so again.
const deadAfterMs = 3_600_000;

/** Removes consumers of a group that were killed long ago. Runs inside a transaction. */
export function forgetDead(store: Store, groupId: number): void {
  const before = Math.floor(store.settings.now()) - deadAfterMs;
  store.connection.run("delete from consumer where group_id = ? and alive_until < ?", groupId, before);
}
