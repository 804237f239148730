/**
 * A backend in a few files, as a web server would serve it: groups and key filters, in this process's memory.
 *
 * `deno task demo` serves this folder on loopback, and an application loads it by `ABE_MQ_PLUGIN_URL`.
 *
 * @module
 */

import type { ConsumeOptions, Env, GroupOptions, MessageQueueBackend } from "@abe/mq";
import { FeedGroup } from "./group.ts";

/** Groups and filters in memory. */
export default class FeedBackend implements MessageQueueBackend {
  readonly capabilities = { groups: true, keys: true };
  readonly #groups = new Map<string, FeedGroup>();

  /** Needs no settings. */
  static fromEnv(_env: Env): FeedBackend {
    return new FeedBackend();
  }

  /** Stores a message for every group whose filter matches. */
  async publish(key: string, payload: object): Promise<void> {
    const text = JSON.stringify(payload);
    for (const group of this.#groups.values()) group.offer(key, text);
  }

  /** Yields the messages of a group. */
  consume({ group = "default", keys, signal }: ConsumeOptions = {}): AsyncIterable<object> {
    return this.#group(group, keys).consume(signal);
  }

  /** Makes and lists groups. */
  readonly groups = {
    create: async (name: string, { keys }: GroupOptions = {}): Promise<void> => void this.#group(name, keys),
    update: (): Promise<void> => Promise.reject(new Error("Cannot change a group of this backend")),
    list: async () => Array.from(this.#groups, ([name, { keys }]) => ({ name, keys, maxAttempts: 10 })),
    delete: async (name: string): Promise<void> => void this.#groups.delete(name),
  };

  #group(name: string, keys = "#"): FeedGroup {
    const group = this.#groups.get(name) ?? new FeedGroup(keys);
    this.#groups.set(name, group);
    return group;
  }
}
