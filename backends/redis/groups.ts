/**
 * Groups of an exchange.
 *
 * @module
 */

import type { Group, GroupOptions, GroupStore } from "../../core/backend.ts";
import { everyKey } from "../../core/keys.ts";
import { MessageQueueError } from "../../core/errors.ts";
import type { Broker } from "./broker.ts";

/** A consumer that joins a group as it is made. */
export interface Joining {
  readonly consumer: string;
  readonly leaseMs: number;
}

/** Makes and removes groups: their settings stand in every partition, where scripts read them; the first decides. */
export class RedisGroups implements GroupStore {
  readonly #broker: Broker;

  /** @param broker The servers. */
  constructor(broker: Broker) {
    this.#broker = broker;
  }

  /** See {@linkcode GroupStore.create}. */
  async create(name: string, options: GroupOptions = {}): Promise<void> {
    await this.make(name, { ...options, keys: options.keys ?? everyKey });
  }

  /**
   * Makes a group where there is none.
   *
   * @param name The group.
   * @param options Its settings; no `keys` means whatever it has, or `#`.
   * @param joining A consumer that begins with it.
   */
  async make(name: string, options: GroupOptions, joining?: Joining): Promise<void> {
    const from = options.from === "latest" ? "$" : "0";
    const run = (partition: number, keys: string) => {
      const args = ["make", name, keys, from, text(options.maxAttempts), text(options.expiresMs)];
      if (joining !== undefined) args.push(joining.consumer, String(joining.leaseMs));
      return this.#broker.run("group", partition, args, `make the group ${name}`);
    };
    const stored = String(await run(0, options.keys ?? ""));
    if (options.keys !== undefined && stored !== options.keys) {
      throw new MessageQueueError(
        "group_conflict",
        `Cannot use the filter ${options.keys} for the group ${name}: it has ${stored}; groups.update changes it`,
      );
    }
    await Promise.all(this.#broker.partitions.slice(1).map(({ partition }) => run(partition, stored)));
  }

  /** See {@linkcode GroupStore.update}. */
  async update(name: string, options: Omit<GroupOptions, "from">): Promise<void> {
    const args = ["update", name, options.keys ?? "", "", text(options.maxAttempts), text(options.expiresMs)];
    const run = (partition: number) => this.#broker.run("group", partition, args, `update the group ${name}`);
    if (await run(0) === null) throw notFound(name);
    await Promise.all(this.#broker.partitions.slice(1).map(({ partition }) => run(partition)));
  }

  /** See {@linkcode GroupStore.list}. */
  async list(): Promise<readonly Group[]> {
    const action = "list groups";
    const prefix = this.#broker.partitions[0]?.prefix ?? "";
    await this.#broker.run("sweep", 0, [], action);
    const names = await this.#broker.send(0, ["SMEMBERS", `${prefix}groups`], action) as readonly string[];
    const groups = await Promise.all(names.map(async (name) => {
      const args = ["HMGET", `${prefix}group:${name}`, "keys", "maxAttempts", "expiresMs"];
      const [keys, attempts, expires] = await this.#broker.send(0, args, action) as readonly (string | null)[];
      return {
        name,
        keys: keys ?? everyKey,
        maxAttempts: Number(attempts ?? 10),
        ...(expires !== null && expires !== undefined && { expiresMs: Number(expires) }),
      };
    }));
    return groups.sort((a, b) => a.name < b.name ? -1 : 1);
  }

  /** See {@linkcode GroupStore.delete}. */
  async delete(name: string): Promise<void> {
    const results = await Promise.all(
      this.#broker.partitions.map(({ partition }) =>
        this.#broker.run("removeGroup", partition, [name], `remove the group ${name}`)
      ),
    );
    if (!results.includes(1)) throw notFound(name);
  }
}

function text(value: number | undefined): string {
  return value === undefined ? "" : String(value);
}

function notFound(name: string): MessageQueueError {
  return new MessageQueueError("not_found", `Cannot find the group ${name}: it was never made, or was removed`);
}
