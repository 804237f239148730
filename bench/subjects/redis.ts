/**
 * On Redis: what somebody would write by hand over npm `redis`: a window of XADD, and XREADGROUP with batched acks.
 *
 * @module
 */

import { createClient } from "redis";
import { RedisBackend } from "../../backends/redis.ts";
import { type Candidate, inFlight, lanes, type Setting, type Subject } from "../work.ts";
import { backendAlone, queue } from "./ours.ts";
import { bullmq, fedifyRedis } from "./peers.ts";

interface Client {
  sendCommand(args: readonly string[]): Promise<unknown>;
  destroy(): void;
}

// The client makes a timer for each command unless that is off.
async function connect(url: string): Promise<Client> {
  const client = createClient({ url, RESP: 2, commandOptions: { timeout: undefined } as never });
  client.on("error", (error: unknown) => console.error(error));
  await client.connect();
  return client;
}

// Acks what the consumer still holds: one ranged XPENDING and one XACK for each batch.
const fence = `
local held, ids = {}, {}
for _, item in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[#ARGV], #ARGV, ARGV[2])) do held[item[1]] = true end
for i = 3, #ARGV do if held[ARGV[i]] then ids[#ids + 1] = ARGV[i] end end
return redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))`;

function loop(how: "fenced" | "plain"): Candidate {
  return async ({ url, name: stream, load }): Promise<Subject> => {
    const client = await connect(url);
    const reader = await connect(url);
    await client.sendCommand(["XGROUP", "CREATE", stream, "g", "0", "MKSTREAM"]);
    const digest = String(await client.sendCommand(["SCRIPT", "LOAD", fence]));
    // A message carries the same as ours: id, key, time, payload.
    const add = (key: string, payload: object) =>
      client.sendCommand(
        ["XADD", stream, "*", "m", `${crypto.randomUUID()}\n${key}\n${Date.now()}\n${JSON.stringify(payload)}`],
      );
    const ack = (ids: readonly string[]) =>
      how === "plain"
        ? client.sendCommand(["XACK", stream, "g", ...ids])
        : client.sendCommand(["EVALSHA", digest, "1", stream, "g", "c", ...ids]);
    // Acks are not waited for, but for the last.
    const read = async (taken: (payload: object) => void): Promise<number> => {
      const reply = await reader.sendCommand(
        ["XREADGROUP", "GROUP", "g", "c", "COUNT", String(inFlight), "BLOCK", "500", "STREAMS", stream, ">"],
      ) as [string, [string, string[]][]][] | null;
      const ids: string[] = [];
      for (const [id, [, text = ""]] of reply?.[0]?.[1] ?? []) {
        taken(JSON.parse(text.slice(text.lastIndexOf("\n") + 1)));
        ids.push(id);
      }
      if (ids.length > 0) acked = ack(ids);
      return ids.length;
    };
    let acked: Promise<unknown> = Promise.resolve();
    let listening: Promise<void> | undefined;
    let closing = false;
    return {
      publish: (count) =>
        lanes(count, inFlight, (n) => {
          const { key, payload } = load(n);
          return add(key, payload);
        }),
      consume: async (count) => {
        for (let left = count; left > 0;) left -= await read(() => {});
        await acked;
      },
      listen: async (taken) => {
        listening = (async () => {
          while (!closing) await read(taken);
        })();
      },
      send: async (payload) => {
        await add("order.created", payload);
      },
      close: async () => {
        closing = true;
        await listening;
        client.destroy();
        reader.destroy();
      },
    };
  };
}

/** Our backend. */
export const openRedis = ({ url, name }: Setting): RedisBackend => new RedisBackend({ url, exchange: name });

/** By name. */
export const redis: Readonly<Record<string, Candidate>> = {
  "pipelined loop": loop("plain"),
  "pipelined loop, fenced": loop("fenced"),
  backend: backendAlone(openRedis),
  consume: queue(openRedis, "consume"),
  "subscribe 1": queue(openRedis, { concurrency: 1 }),
  "subscribe 64": queue(openRedis, { concurrency: 64 }),
  BullMQ: bullmq,
  "Fedify Redis": fedifyRedis,
};
