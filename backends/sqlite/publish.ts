/**
 * Publishing: many callers, one transaction, a few statements.
 *
 * @module
 */

import { MessageQueueError } from "../../core/errors.ts";
import { headersText, type Message } from "../../core/message.ts";
import type { Value } from "./connection.ts";
import { encodeBody, type Store, wholeMs } from "./store.ts";
import { again, maxSize } from "./writer.ts";

// Rows by one statement: most of the gain of longer ones, and few texts in the statement cache.
const rowsAtOnce = 16;

const columns = "position, id, key, body, content_type, headers, published_at, ordering_key";
const width = 8;

interface Entry {
  readonly messages: readonly Message[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
}

/** Stores messages. Those of one call are stored all or none. */
export class Publisher {
  readonly #store: Store;
  #gathering: Entry[] = [];
  #gathered = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Stores messages.
   *
   * @returns When they are committed.
   * @throws {MessageQueueError} `full`, `storage`, `connection`.
   */
  publish(messages: readonly Message[], signal?: AbortSignal): Promise<void> {
    if (messages.length > maxSize) return this.#submitLarge(messages, signal);
    return new Promise<void>((resolve, reject) => {
      if (this.#gathered + messages.length > maxSize) this.#gathering = [];
      if (this.#gathering.length === 0) {
        this.#gathered = 0;
        this.#submit(this.#gathering);
      }
      this.#gathering.push({ messages, resolve, reject, signal });
      this.#gathered += messages.length;
    });
  }

  // The entries are added to after the job was handed in, until it begins.
  #submit(entries: Entry[]): void {
    let begun: Entry[] | undefined;
    this.#store.writer.submit({
      action: "publish to",
      // Reckoned as full, as it may be by the time it runs.
      size: maxSize / 2,
      run: () => {
        if (this.#gathering === entries) this.#gathering = [];
        begun ??= entries.filter(({ signal, reject }) => {
          if (signal?.aborted) reject(signal.reason);
          return !signal?.aborted;
        });
        return this.#storeEntries(begun);
      },
      committed: (refused) => {
        this.#notify();
        for (const entry of begun ?? []) {
          const error = refused.get(entry);
          if (error === undefined) entry.resolve();
          else entry.reject(error);
        }
      },
    }).catch((error: unknown) => {
      if (this.#gathering === entries) this.#gathering = [];
      const rest = begun ?? entries;
      const first = rest[0];
      if (first === undefined) return;
      // No one's message may keep out the others': each by itself. A lock that another process holds is the same for all.
      if (rest.length === 1 || (error instanceof MessageQueueError && error.retryable)) {
        for (const entry of rest) entry.reject(error);
      } else {
        for (const entry of rest) this.#submit([entry]);
      }
    });
  }

  #storeEntries(entries: readonly Entry[]): Map<Entry, unknown> {
    const refused = new Map<Entry, unknown>();
    const messages: Message[] = [];
    for (const entry of entries) {
      const wanted = this.#withoutDuplicates(entry.messages, messages);
      const error = this.#checkRoom(messages.length + wanted.length);
      if (error === undefined) { for (const message of wanted) messages.push(message); }
      else refused.set(entry, error);
    }
    this.#insert(messages);
    return refused;
  }

  async #submitLarge(messages: readonly Message[], signal: AbortSignal | undefined): Promise<void> {
    await this.#store.writer.submit({
      action: "publish to",
      size: messages.length,
      signal,
      run: (step) => {
        const end = (step + 1) * maxSize;
        const wanted = this.#withoutDuplicates(messages.slice(step * maxSize, end), []);
        const error = this.#checkRoom(wanted.length);
        if (error !== undefined) throw error;
        this.#insert(wanted);
        return end < messages.length ? again : undefined;
      },
    });
    this.#notify();
  }

  #notify(): void {
    this.#store.signals.notify(this.#store.exchangeId);
  }

  #withoutDuplicates(messages: readonly Message[], before: readonly Message[]): readonly Message[] {
    if (!messages.some((message) => message.deduplicate)) return messages;
    const { connection, exchangeId, settings } = this.#store;
    const ids = new Set<string>();
    for (const message of before) if (message.deduplicate) ids.add(message.id);
    return messages.filter(({ id, deduplicate }) => {
      if (!deduplicate) return true;
      if (ids.has(id)) return false;
      ids.add(id);
      return connection.get(
        "select 1 from dedup where exchange_id = ? and id = ? and expires_at > ?",
        exchangeId,
        id,
        settings.now(),
      ) === undefined;
    });
  }

  #checkRoom(count: number): MessageQueueError | undefined {
    const { settings: { maxLength }, sweeper } = this.#store;
    if (maxLength === undefined || count === 0) return undefined;
    let stored = this.#stored();
    while (stored + count > maxLength) {
      // What all groups have acked is no reason to refuse.
      const more = sweeper.sweep(true);
      stored = this.#stored();
      if (!more) break;
    }
    if (stored + count <= maxLength) return undefined;
    return new MessageQueueError(
      "full",
      `Cannot publish: the queue holds ${stored} messages of at most ${maxLength} (maxLength); nothing was stored`,
    );
  }

  #stored(): number {
    const { connection, exchangeId } = this.#store;
    return connection.get<{ stored: number }>("select stored from exchange where id = ?", exchangeId)?.stored ?? 0;
  }

  #insert(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const { connection, exchangeId, settings } = this.#store;
    const now = settings.now();
    const isLater = ({ deliverAt }: Message) => deliverAt !== undefined && deliverAt > now;
    const ready = messages.some(isLater) ? messages.filter((message) => !isLater(message)) : messages;
    const last = connection.get<{ last_position: number }>(
      "update exchange set last_position = last_position + ?, stored = stored + ? where id = ? returning last_position",
      ready.length,
      messages.length,
      exchangeId,
    );
    if (last === undefined) throw new Error("The exchange is gone from the file");
    this.#insertReady(ready, last.last_position - ready.length + 1);
    for (const message of messages) {
      if (message.deduplicate) this.#remember(message.id, now);
      if (message.deliverAt === undefined || !isLater(message)) continue;
      connection.run(
        `insert into delayed (exchange_id, due_at, id, key, body, content_type, headers, published_at)
         values (?, ?, ?, ?, ?, ?, ?, ?)`,
        exchangeId,
        wholeMs(message.deliverAt),
        message.id,
        message.key,
        encodeBody(message.body),
        message.contentType ?? null,
        headersText(message.headers) ?? null,
        wholeMs(message.publishedAt),
      );
    }
  }

  #insertReady(messages: readonly Message[], first: number): void {
    const { connection, log } = this.#store;
    const insert = `insert into ${log} (${columns}) values `;
    const many = insert + Array<string>(rowsAtOnce).fill(marks).join(", ");
    const one = insert + marks;
    let at = 0;
    let position = first;
    const values: Value[] = new Array(rowsAtOnce * width);
    while (messages.length - at >= rowsAtOnce) {
      let to = 0;
      for (let row = 0; row < rowsAtOnce; row++) to = fill(values, to, position++, messages[at++]);
      connection.run(many, ...values);
    }
    const rest: Value[] = new Array(width);
    while (at < messages.length) {
      fill(rest, 0, position++, messages[at++]);
      connection.run(one, ...rest);
    }
  }

  #remember(id: string, now: number): void {
    const { connection, exchangeId, settings } = this.#store;
    connection.run(
      `insert into dedup (exchange_id, id, expires_at) values (?, ?, ?)
       on conflict (exchange_id, id) do update set expires_at = excluded.expires_at`,
      exchangeId,
      id,
      now + settings.dedupWindowMs,
    );
  }
}

const marks = `(${Array<string>(width).fill("?").join(", ")})`;

function fill(values: Value[], at: number, position: number, message: Message | undefined): number {
  if (message === undefined) return at;
  values[at] = position;
  values[at + 1] = message.id;
  values[at + 2] = message.key;
  values[at + 3] = encodeBody(message.body);
  values[at + 4] = message.contentType ?? null;
  values[at + 5] = headersText(message.headers) ?? null;
  values[at + 6] = wholeMs(message.publishedAt);
  values[at + 7] = message.orderingKey ?? null;
  return at + width;
}
