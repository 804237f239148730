/**
 * What a backend has open: the file, and what works on it.
 *
 * @module
 */

import type { GroupOptions } from "../../core/backend.ts";
import { MessageQueueError } from "../../core/errors.ts";
import { open } from "./connection.ts";
import { ensureGroup } from "./groups.ts";
import { forgetDead, Maintenance, sayAlive } from "./maintenance.ts";
import type { Settings } from "./options.ts";
import { Publisher } from "./publish.ts";
import { newToken, SqliteReceiver } from "./receiver.ts";
import { logTable } from "./schema.ts";
import { Signals } from "./signals.ts";
import type { Store } from "./store.ts";
import { Sweeper } from "./sweep.ts";
import { Watcher } from "./watcher.ts";
import { Writer } from "./writer.ts";

/** An open file. */
export class Session {
  /** What its parts share. */
  readonly store: Store;
  /** Stores messages. */
  readonly publisher: Publisher;
  /** What is done from time to time. */
  readonly maintenance: Maintenance;
  readonly #receivers = new Set<SqliteReceiver>();
  readonly #watcher: Watcher;
  #closed = false;

  constructor(store: Store) {
    const { connection, settings } = store;
    this.store = store;
    this.publisher = new Publisher(store);
    this.maintenance = new Maintenance(store, this.#receivers);
    this.#watcher = new Watcher({
      path: connection.path,
      now: settings.now,
      version: () => connection.get<{ data_version: number }>("pragma data_version")?.data_version ?? 0,
      commits: () => store.writer.commits,
      changed: () => {
        for (const receiver of this.#receivers) receiver.wake();
      },
    });
  }

  /** Opens a place in a group, which is made when there is none. */
  async receive(group: string, options: GroupOptions, leaseMs: number): Promise<SqliteReceiver> {
    const id = newToken();
    const row = await this.store.writer.submit({
      action: "make a group in",
      size: 1,
      run: () => {
        const found = ensureGroup(this.store, group, options);
        forgetDead(this.store, found.id);
        sayAlive(this.store, id, found.id, this.maintenance.aliveMs(found.expires_ms));
        return found;
      },
    });
    if (this.#closed) throw new MessageQueueError("closed", "Cannot open a receiver: the backend is closed");
    const receiver = new SqliteReceiver(this.store, id, row, leaseMs, {
      closed: () => {
        this.#receivers.delete(receiver);
        this.#receiversChanged();
      },
    });
    this.#receivers.add(receiver);
    this.#receiversChanged();
    return receiver;
  }

  #receiversChanged(): void {
    if (this.#closed) return;
    this.maintenance.receiversChanged();
    if (this.#receivers.size > 0) this.#watcher.start();
    else this.#watcher.stop();
  }

  /** Closes receivers that are left, finishes what was handed in, and closes the file. */
  async close(): Promise<void> {
    this.#closed = true;
    this.maintenance.stop();
    this.#watcher.stop();
    await Promise.all([...this.#receivers].map((receiver) => receiver.close()));
    await this.store.writer.idle();
    Signals.release(this.store.connection.path);
    this.store.connection.close();
  }
}

/** Opens a file. */
export async function openSession(settings: Settings): Promise<Session> {
  const { connection, exchangeId } = await open(settings);
  const log = logTable(exchangeId);
  return new Session({
    connection,
    exchangeId,
    log,
    settings,
    writer: new Writer(connection, settings.lockTimeoutMs),
    signals: Signals.acquire(connection.path),
    sweeper: new Sweeper(connection, exchangeId, log),
  });
}
