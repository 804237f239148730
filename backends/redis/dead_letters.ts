/**
 * Dead letters of groups.
 *
 * @module
 */

import type { DeadLetter, DeadLetterPage, DeadLetterStore } from "../../core/backend.ts";
import type { Broker } from "./broker.ts";
import { decodeMessage, type StoredMessage } from "./record.ts";

// Replaying or purging all goes by so many for each script.
const step = 200;

type Entry = readonly [string, readonly string[]];

/** Looks into dead letters. */
export class RedisDeadLetters implements DeadLetterStore {
  readonly #broker: Broker;

  /** @param broker The servers. */
  constructor(broker: Broker) {
    this.#broker = broker;
  }

  /** See {@linkcode DeadLetterStore.list}. A cursor is the id in `dead` and the partition of the last one listed. */
  async list(
    group: string,
    { limit, cursor }: { readonly limit: number; readonly cursor?: string },
  ): Promise<DeadLetterPage> {
    const [after, last] = splitCursor(cursor);
    const parts = await Promise.all(this.#broker.partitions.map(async ({ partition, prefix }) => {
      // In partitions behind the last one the same id comes next, in the others it has been listed.
      const from = after === undefined ? "-" : partition > last ? after : `(${after}`;
      const args = ["XRANGE", `${prefix}dead:${group}`, from, "+", "COUNT", String(limit + 1)];
      const entries = await this.#broker.send(partition, args, "list dead letters") as readonly Entry[];
      return entries.map((entry) => ({ entry, partition }));
    }));
    const all = parts.flat().sort((a, b) => compareIds(a.entry[0], b.entry[0]) || a.partition - b.partition);
    const page = all.slice(0, limit);
    const end = page.at(-1);
    return {
      deadLetters: page.map(({ entry }) => toDeadLetter(group, entry)),
      ...(all.length > limit && end !== undefined && { cursor: `${end.entry[0]}@${end.partition}` }),
    };
  }

  /** See {@linkcode DeadLetterStore.get}. */
  async get(group: string, id: string): Promise<DeadLetter | undefined> {
    const found = await Promise.all(this.#broker.partitions.map(async ({ partition, prefix }) => {
      const range = ["ZRANGEBYLEX", `${prefix}deadids:${group}`, `[${id}\n`, `(${id}\v`, "LIMIT", "0", "1"];
      const [member] = await this.#broker.send(partition, range, "find a dead letter") as readonly string[];
      if (member === undefined) return [];
      const at = member.slice(id.length + 1).split("-").map((part) => part.replace(/^0+(?=\d)/, "")).join("-");
      return await this.#broker.send(
        partition,
        ["XRANGE", `${prefix}dead:${group}`, at, at],
        "find a dead letter",
      ) as readonly Entry[];
    }));
    const entry = found.flat().sort((a, b) => compareIds(a[0], b[0]))[0];
    return entry === undefined ? undefined : toDeadLetter(group, entry);
  }

  /** See {@linkcode DeadLetterStore.replay}. */
  replay(group: string, ids?: readonly string[]): Promise<number> {
    return this.#revive(group, "1", ids);
  }

  /** See {@linkcode DeadLetterStore.purge}. */
  purge(group: string, ids?: readonly string[]): Promise<number> {
    return this.#revive(group, "0", ids);
  }

  async #revive(group: string, back: "0" | "1", ids: readonly string[] | undefined): Promise<number> {
    if (ids?.length === 0) return 0;
    const action = back === "1" ? "replay dead letters" : "purge dead letters";
    const counts = await Promise.all(this.#broker.partitions.map(async ({ partition, prefix }) => {
      // Those that are there now: a replayed one may be back before the last step.
      const key = `${prefix}dead:${group}`;
      const [end] = await this.#broker.send(partition, ["XREVRANGE", key, "+", "-", "COUNT", "1"], action) as Entry[];
      if (end === undefined) return 0;
      let count = 0;
      for (;;) {
        const args = [group, back, end[0], String(step), ...ids ?? []];
        const [done, more] = await this.#broker.run("revive", partition, args, action) as readonly [number, number];
        count += done;
        if (more !== 1) return count;
      }
    }));
    return counts.reduce((sum, count) => sum + count, 0);
  }
}

function splitCursor(cursor: string | undefined): readonly [string | undefined, number] {
  if (cursor === undefined) return [undefined, 0];
  const match = /^(\d+-\d+)@(\d+)$/.exec(cursor);
  if (match === null) throw new TypeError(`Cannot list dead letters from ${JSON.stringify(cursor)}: it is no cursor`);
  return [match[1], Number(match[2])];
}

function compareIds(a: string, b: string): number {
  const [ams, aseq] = a.split("-").map(Number);
  const [bms, bseq] = b.split("-").map(Number);
  return (ams ?? 0) - (bms ?? 0) || (aseq ?? 0) - (bseq ?? 0);
}

function toDeadLetter(group: string, [at, list]: Entry): DeadLetter {
  const fields = new Map<string, string>();
  for (let i = 0; i + 1 < list.length; i += 2) fields.set(list[i] ?? "", list[i + 1] ?? "");
  const error = fields.get("e");
  return {
    ...readable(fields.get("m") ?? ""),
    group,
    reason: fields.get("r") ?? "",
    ...(error !== undefined && error !== "" && { error }),
    attempts: Number(fields.get("a") ?? 0),
    deadAt: Number(at.split("-")[0]),
  };
}

// What could not be read is listed as it stands.
function readable(text: string): StoredMessage {
  try {
    return decodeMessage(text);
  } catch {
    return { id: "", key: "", publishedAt: 0, headers: {}, body: text };
  }
}
