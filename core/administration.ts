/**
 * Groups and dead letters as an application handles them: checked here, kept by the backend.
 *
 * @module
 */

import type {
  DeadLetter as StoredDeadLetter,
  DeadLetterStore,
  Group,
  GroupOptions,
  GroupStore,
  MessageQueueBackend,
} from "./backend.ts";
import { checkDuration, checkInteger } from "./check.ts";
import { unpack } from "./carrier.ts";
import type { Payload } from "./codec.ts";
import type { Codecs } from "./codecs.ts";
import { MessageQueueError } from "./errors.ts";
import { checkFilter, checkName } from "./keys.ts";

/** Makes, changes and removes the groups of a queue. */
export class Groups {
  readonly #backend: MessageQueueBackend;
  readonly #checkOpen: () => void;

  /**
   * Made by the queue, once.
   *
   * @param backend Who keeps them.
   * @param checkOpen Throws when the queue is closed.
   */
  constructor(backend: MessageQueueBackend, checkOpen: () => void) {
    this.#backend = backend;
    this.#checkOpen = checkOpen;
  }

  /**
   * Makes a group; one with the same filter stays as it is.
   *
   * @param name Its name.
   * @param options Filter, start, attempts, expiry.
   * @throws {MessageQueueError} `group_conflict` when it exists with another filter; `unsupported`.
   * @throws {TypeError | RangeError} When an argument is wrong.
   */
  async create(name: string, options: GroupOptions = {}): Promise<void> {
    const store = this.#store(name);
    this.#check(options);
    if (options.from !== undefined && options.from !== "earliest" && options.from !== "latest") {
      throw new TypeError(`Cannot use ${JSON.stringify(options.from)} as from: it is "earliest" or "latest"`);
    }
    await store.create(name, options);
  }

  /**
   * Changes a group; the filter holds for what is claimed from now on.
   *
   * @param name Its name.
   * @param options What to change.
   * @throws {MessageQueueError} `not_found`; `unsupported`.
   * @throws {TypeError | RangeError} When an argument is wrong.
   */
  async update(name: string, options: Omit<GroupOptions, "from">): Promise<void> {
    const store = this.#store(name);
    this.#check(options);
    await store.update(name, options);
  }

  /**
   * Lists the groups by name.
   *
   * @returns The groups.
   * @throws {MessageQueueError} `unsupported`.
   */
  async list(): Promise<readonly Group[]> {
    return await this.#store("list").list();
  }

  /**
   * Removes a group with what waits in it and its dead letters.
   *
   * @param name Its name.
   * @throws {MessageQueueError} `not_found`; `unsupported`.
   */
  async delete(name: string): Promise<void> {
    await this.#store(name).delete(name);
  }

  #check({ keys, maxAttempts, expiresMs }: GroupOptions): void {
    if (keys !== undefined) {
      checkFilter(keys);
      if (!this.#backend.capabilities?.keys) throw unsupported("keys");
    }
    if (maxAttempts !== undefined) checkInteger("maxAttempts", maxAttempts, 1);
    if (expiresMs !== undefined) {
      checkDuration("expiresMs", expiresMs, 1);
      if (!this.#backend.capabilities?.expiry) throw unsupported("expiresMs");
    }
  }

  #store(name: string): GroupStore {
    this.#checkOpen();
    checkName("group", name);
    const { groups } = this.#backend;
    if (groups === undefined) throw unsupported("groups");
    return groups;
  }
}

/** A dead letter, its payload decoded. */
export interface DeadLetter<T extends object = Payload> extends StoredDeadLetter {
  /** What was published; `undefined` when the body is undecodable. */
  readonly payload: T | undefined;
}

/** Some dead letters. */
export interface DeadLetterList<T extends object = Payload> {
  /** The dead letters, oldest first. */
  readonly deadLetters: readonly DeadLetter<T>[];
  /** Give it to the next `list`; absent when there are no more. */
  readonly cursor?: string;
}

/** Looks into the dead letters of a queue's groups. */
export class DeadLetters {
  readonly #backend: MessageQueueBackend;
  readonly #codecs: Codecs;
  readonly #checkOpen: () => void;

  /**
   * Made by the queue, once.
   *
   * @param backend Who keeps them.
   * @param codecs What decodes them.
   * @param checkOpen Throws when the queue is closed.
   */
  constructor(backend: MessageQueueBackend, codecs: Codecs, checkOpen: () => void) {
    this.#backend = backend;
    this.#codecs = codecs;
    this.#checkOpen = checkOpen;
  }

  /**
   * Lists them, oldest first.
   *
   * @param group The group that gave up on them.
   * @param options `limit`: at most so many, 1 to 1,000, 100 by default; `cursor`: where the last page ended.
   * @returns A page.
   * @throws {MessageQueueError} `unsupported`.
   */
  async list<T extends object = Payload>(
    group: string,
    options: { readonly limit?: number; readonly cursor?: string } = {},
  ): Promise<DeadLetterList<T>> {
    const limit = checkInteger("limit", options.limit ?? 100, 1, 1_000);
    const { cursor } = options;
    const page = await this.#store(group).list(group, { limit, ...(cursor !== undefined && { cursor }) });
    return { ...page, deadLetters: await Promise.all(page.deadLetters.map((each) => this.#decode<T>(each))) };
  }

  /**
   * One of them.
   *
   * @param group The group that gave up on it.
   * @param id The message's id.
   * @returns The dead letter; `undefined` when there is none.
   * @throws {MessageQueueError} `unsupported`.
   */
  async get<T extends object = Payload>(group: string, id: string): Promise<DeadLetter<T> | undefined> {
    const found = await this.#store(group).get(group, id);
    return found && await this.#decode<T>(found);
  }

  /**
   * Puts them back into their group alone, each once, with attempts from 1.
   *
   * @param group The group that gave up on them.
   * @param ids Which; all of them when absent.
   * @returns How many were put back.
   * @throws {MessageQueueError} `unsupported`.
   */
  async replay(group: string, ids?: readonly string[]): Promise<number> {
    return await this.#store(group).replay(group, ids);
  }

  /**
   * Removes them.
   *
   * @param group The group that gave up on them.
   * @param ids Which; all of them when absent.
   * @returns How many were removed.
   * @throws {MessageQueueError} `unsupported`.
   */
  async purge(group: string, ids?: readonly string[]): Promise<number> {
    return await this.#store(group).purge(group, ids);
  }

  async #decode<T extends object>(stored: StoredDeadLetter): Promise<DeadLetter<T>> {
    try {
      const unpacked = unpack(stored);
      // What cannot be decoded is here as it was published all the same.
      stored = { ...stored, ...unpacked };
      return { ...stored, payload: await this.#codecs.decode(unpacked) as T };
    } catch (error) {
      // The reason why it is here may be just this; whoever looks gets the body as it is.
      if (!(error instanceof MessageQueueError)) throw error;
      return { ...stored, payload: undefined };
    }
  }

  #store(group: string): DeadLetterStore {
    this.#checkOpen();
    checkName("group", group);
    const { deadLetters } = this.#backend;
    if (deadLetters === undefined) throw unsupported("deadLetters");
    return deadLetters;
  }
}

function unsupported(capability: string): MessageQueueError {
  return new MessageQueueError(
    "unsupported",
    `Cannot do that: this backend does not declare the capability \`${capability}\``,
  );
}
