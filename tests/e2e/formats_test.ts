import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { z } from "zod";
import { MemoryBackend } from "../../backends/memory.ts";
import { RedisBackend } from "../../backends/redis.ts";
import { devalueCodec, msgpackCodec } from "../../codecs/mod.ts";
import { encryption, makeKey } from "../../examples/encryption.ts";
import { defineTopics, MessageQueue, type MessageQueueBackend } from "../../mod.ts";
import { telemetry } from "../../otel/mod.ts";
import { startRedis } from "../backends/redis/server.ts";
import { inFolder } from "../backends/sqlite/helpers.ts";
import { RecordingLogger, until } from "../core/fakes.ts";

const timeout = 120_000;

const topics = defineTopics({
  "image.made": z.object({ png: z.instanceof(Uint8Array), tags: z.set(z.string()), at: z.date() }),
  "image.seen": { schema: z.object({ times: z.bigint() }), version: 2 },
});

/** Typed topics, two codecs, compression, encryption and telemetry, all at once, each process with queues of its own. */
async function everything(open: () => MessageQueueBackend): Promise<void> {
  const keys = new Map([["k", await makeKey()]]);
  const ring = () => ({ current: "k", keys });
  const made = { png: new Uint8Array(10_000).fill(7), tags: new Set(["secret"]), at: new Date(1) };

  const sender = new MessageQueue(open(), { codec: msgpackCodec(), compressAboveBytes: 1_000 });
  sender.use(telemetry()).use(encryption(ring));
  const older = new MessageQueue(open(), { codec: devalueCodec() });
  older.use(encryption(ring));
  const stranger = new MessageQueue(open());
  await sender.with(topics).publish("image.made", made);
  await older.with(topics).publish("image.seen", { times: 2n ** 70n });
  await stranger.publish("image.made", { secret: "not encrypted" });
  for (const queue of [sender, older, stranger]) await queue.close();

  const logger = new RecordingLogger();
  const mq = new MessageQueue(open(), { codecs: [msgpackCodec(), devalueCodec()], logger });
  mq.use(telemetry()).use(encryption(ring));
  const seen = new Map<string, unknown>();
  const subscription = await mq.with(topics).subscribe((delivery) => {
    if (delivery.key === "image.seen") seen.set(delivery.key, delivery.payload.times);
    else seen.set(delivery.key, delivery.payload);
    assert.deepEqual(Object.keys(delivery.headers), ["version"]);
  });
  const dead = async () => (await mq.deadLetters.list("default")).deadLetters;
  await until(async () => seen.size === 2 && (await dead()).length === 1);
  await subscription.drain();
  assert.deepEqual(seen.get("image.made"), made);
  assert.equal(seen.get("image.seen"), 2n ** 70n);
  const [letter] = await dead();
  assert.deepEqual([letter?.key, letter?.reason], ["image.made", "undecodable"]);
  assert.deepEqual(letter?.payload, { secret: "not encrypted" });
  assert.doesNotMatch(logger.lines.join(), /secret/);
  await mq.close();
}

describe("topics, codecs, compression, encryption and telemetry together", () => {
  it("work on memory", { timeout }, async () => {
    const store = crypto.randomUUID();
    const first = new MemoryBackend({ store });
    await everything(() => new MemoryBackend({ store }));
    await first[Symbol.asyncDispose]();
  });

  it("work on SQLite", { timeout }, () => inFolder((folder) => everything(() => folder.open())));

  it("work on Redis", { timeout }, async () => {
    const server = await startRedis();
    try {
      await everything(() => new RedisBackend({ url: server.url, exchange: "formats" }));
    } finally {
      await server.stop();
    }
  });
});
