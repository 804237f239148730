/**
 * Redis beside hand-written loops over the same client, and BullMQ.
 *
 * `deno run -A bench/redis.ts [--count=N] [--rounds=N] [--fsync=no|everysec|always] [--only=PREFIX]`
 *
 * @module
 */

import process from "node:process";
import { RedisBackend } from "../backends/redis.ts";
import { MessageQueue } from "../mod.ts";
import { type Client, openClient, payload, rawConsume, rawPublish, window } from "./redis_raw.ts";
import { type BenchServer, startServer } from "./redis_server.ts";

const flags = new Map(
  process.argv.slice(2).map((arg) => {
    const [name = "", value = "1"] = arg.replace(/^--/, "").split("=");
    return [name, value] as const;
  }),
);
const count = Number(flags.get("count") ?? 100_000);
const fsync = (flags.get("fsync") ?? "everysec") as "no" | "everysec" | "always";
const only = flags.get("only");
const rounds = Number(flags.get("rounds") ?? 3);
const inFlight = 256;

let exchanges = 0;
const fresh = () => `bench-${process.pid}-${exchanges++}`;

async function rate(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return count / (performance.now() - start) * 1000;
}

async function ourConsume(queue: MessageQueue): Promise<void> {
  let done = 0;
  for await (const item of queue.consume<typeof payload>({ group: "g", prefetch: inFlight })) {
    if (item.id !== payload.id) throw new Error("wrong payload");
    if (++done === count) break;
  }
}

async function ourReceive(queue: MessageQueue): Promise<void> {
  let done = 0;
  const acks: Promise<void>[] = [];
  for await (const delivery of queue.receive<typeof payload>({ group: "g", prefetch: inFlight * 2 })) {
    acks.push(delivery.ack());
    if (++done === count) break;
  }
  await Promise.all(acks);
}

const publishAll = (queue: MessageQueue) => window(count, inFlight, () => queue.publish("order.created", payload));

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

// Candidates take turns, so that whatever else the machine does befalls them alike. The first is what the others are compared with.
async function compare(title: string, candidates: Readonly<Record<string, () => Promise<number>>>): Promise<void> {
  if (only !== undefined && !title.startsWith(only)) return;
  const results = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(candidates)) {
      results.set(name, [...results.get(name) ?? [], await run()]);
      await client.sendCommand(["FLUSHALL"]);
    }
  }
  const base = median([...results.values()][0] ?? []);
  console.log(`\n${title}`);
  for (const [name, values] of results) {
    const value = median(values);
    console.log(
      `  ${name.padEnd(36)} ${value.toFixed(value < 1000 ? 3 : 0).padStart(10)}  ${(value / base).toFixed(2)}`,
    );
  }
}

async function makeGroup(stream: string): Promise<void> {
  await client.sendCommand(["XGROUP", "CREATE", stream, "g", "0", "MKSTREAM"]);
}

const consumeRaw = (how: "fenced" | "plain") => async () => {
  const stream = fresh();
  await rawPublish(client, stream, count, inFlight);
  await makeGroup(stream);
  return await rate(() => rawConsume(server, client, stream, count, inFlight, how));
};

const consumeOurs = (how: (queue: MessageQueue) => Promise<void>) => async () => {
  await using queue = open(fresh());
  await publishAll(queue);
  return await rate(() => how(queue));
};

const throughRaw = (how: "fenced" | "plain") => async () => {
  const stream = fresh();
  await makeGroup(stream);
  return await rate(async () => {
    await Promise.all([
      rawConsume(server, client, stream, count, inFlight, how),
      rawPublish(client, stream, count, inFlight),
    ]);
  });
};

const server: BenchServer = await startServer(fsync);
const client: Client = await openClient(server);
const open = (exchange: string) => new MessageQueue(new RedisBackend({ url: server.url, exchange }));
try {
  console.log(`${count} messages, ${inFlight} in flight, fsync ${fsync}, medians of ${rounds}`);
  await compare("publish, messages a second", {
    "hand-written loop": () => rate(() => rawPublish(client, fresh(), count, inFlight)),
    "publish()": async () => {
      await using queue = open(fresh());
      await queue.ping();
      return await rate(() => publishAll(queue));
    },
  });
  await compare("consume and ack, messages a second", {
    "hand-written loop, fenced": consumeRaw("fenced"),
    "hand-written loop, plain XACK": consumeRaw("plain"),
    "consume()": consumeOurs(ourConsume),
    "receive() and ack()": consumeOurs(ourReceive),
  });
  await compare("end to end, messages a second", {
    "hand-written loop, fenced": throughRaw("fenced"),
    "hand-written loop, plain XACK": throughRaw("plain"),
    "publish() and consume()": async () => {
      await using queue = open(fresh());
      return await rate(async () => {
        await Promise.all([ourConsume(queue), publishAll(queue)]);
      });
    },
  });
} finally {
  client.destroy();
  await server.stop();
}
