/**
 * What somebody would write by hand over npm `redis`: a window of XADD, and XREADGROUP with batched acks.
 *
 * @module
 */

import { createClient } from "redis";
import type { BenchServer } from "./redis_server.ts";

/** What every candidate carries: JSON of about 200 bytes. */
export const payload = {
  id: 12345,
  type: "order.created",
  customer: { name: "Ada Lovelace", email: "ada@example.org" },
  items: [{ sku: "A-1", count: 2 }, { sku: "B-7", count: 1 }],
  note: "a payload of about two hundred bytes",
};

/** The part of the client that is used. */
export interface Client {
  sendCommand(args: readonly string[]): Promise<unknown>;
  destroy(): void;
}

/** Connects, with the client's own timer for each command off. */
export async function openClient(server: BenchServer): Promise<Client> {
  const client = createClient({ url: server.url, RESP: 2, commandOptions: { timeout: undefined } as never });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** Runs a body for every number, so many at once. */
export async function window(total: number, inFlight: number, body: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < total) await body(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

// What a message carries is the same as ours: an id, key, time, headers.
const text = () => `${crypto.randomUUID()}\norder.created\n${Date.now()}\n\n\n${JSON.stringify(payload)}`;
const parse = (line: string) => JSON.parse(line.slice(line.lastIndexOf("\n") + 1)) as typeof payload;

/** Publishes with a window of pipelined XADD. */
export function rawPublish(client: Client, stream: string, count: number, inFlight: number): Promise<void> {
  return window(count, inFlight, () => client.sendCommand(["XADD", stream, "*", "m", text()]));
}

// Acks what the consumer still holds: one ranged XPENDING and one XACK for each batch.
const fence = `
local held, ids = {}, {}
for _, item in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[#ARGV], #ARGV, ARGV[2])) do held[item[1]] = true end
for i = 3, #ARGV do if held[ARGV[i]] then ids[#ids + 1] = ARGV[i] end end
return redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))`;

/** Reads and acks batch by batch, without waiting for the acks. */
export async function rawConsume(
  server: BenchServer,
  client: Client,
  stream: string,
  count: number,
  inFlight: number,
  how: "fenced" | "plain",
): Promise<void> {
  const reader = await openClient(server);
  const digest = String(await client.sendCommand(["SCRIPT", "LOAD", fence]));
  const acks = new Set<Promise<unknown>>();
  for (let done = 0; done < count;) {
    const read = ["XREADGROUP", "GROUP", "g", "c", "COUNT", String(inFlight), "BLOCK", "1000", "STREAMS", stream, ">"];
    const reply = await reader.sendCommand(read) as [string, [string, string[]][]][] | null;
    const ids: string[] = [];
    for (const [id, fields] of reply?.[0]?.[1] ?? []) {
      if (parse(fields[1] ?? "").id !== payload.id) throw new Error("wrong payload");
      ids.push(id);
    }
    done += ids.length;
    if (ids.length === 0) continue;
    const ack = how === "plain"
      ? client.sendCommand(["XACK", stream, "g", ...ids])
      : client.sendCommand(["EVALSHA", digest, "1", stream, "g", "c", ...ids]);
    acks.add(ack);
    void ack.then(() => acks.delete(ack));
  }
  await Promise.all(acks);
  reader.destroy();
}
