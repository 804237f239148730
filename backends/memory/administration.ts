/**
 * Groups and dead letters as the protocol wants them.
 *
 * @module
 */

import type {
  DeadLetter,
  DeadLetterPage,
  DeadLetterStore,
  Group,
  GroupOptions,
  GroupStore,
} from "../../core/backend.ts";
import { MessageQueueError } from "../../core/errors.ts";
import type { Log } from "./log.ts";

/** The groups of a log. */
export class MemoryGroups implements GroupStore {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  async create(name: string, options: GroupOptions = {}): Promise<void> {
    this.#log.openGroup(name, options);
  }

  async update(name: string, options: Omit<GroupOptions, "from">): Promise<void> {
    const group = this.#log.groups.get(name);
    if (group === undefined) throw noGroup(name);
    group.update(options);
  }

  async list(): Promise<readonly Group[]> {
    return Array.from(this.#log.groups.values(), (group) => group.describe())
      .sort((a, b) => a.name < b.name ? -1 : 1);
  }

  async delete(name: string): Promise<void> {
    if (!this.#log.dropGroup(name)) throw noGroup(name);
  }
}

function noGroup(name: string): MessageQueueError {
  return new MessageQueueError("not_found", `There is no group "${name}"`);
}

/** The dead letters of a log's groups. */
export class MemoryDeadLetters implements DeadLetterStore {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  async list(name: string, options: { readonly limit: number; readonly cursor?: string }): Promise<DeadLetterPage> {
    return this.#log.groups.get(name)?.dead.list(options.limit, options.cursor) ?? { deadLetters: [] };
  }

  async get(name: string, id: string): Promise<DeadLetter | undefined> {
    return this.#log.groups.get(name)?.dead.get(id);
  }

  async replay(name: string, ids?: readonly string[]): Promise<number> {
    return this.#log.groups.get(name)?.replay(ids) ?? 0;
  }

  async purge(name: string, ids?: readonly string[]): Promise<number> {
    return this.#log.groups.get(name)?.dead.take(ids).length ?? 0;
  }
}
