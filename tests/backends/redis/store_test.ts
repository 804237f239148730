import assert from "node:assert/strict";
import { it } from "node:test";
import { RedisBackend, type RedisBackendOptions } from "../../../backends/redis.ts";
import type { Claim, Receiver } from "../../../core/backend.ts";
import { createMessage, type PublishOptions } from "../../../core/message.ts";
import { until } from "../../wait.ts";
import { type RedisServer, startRedis } from "./server.ts";

const timeout = 60_000;
const forever = new AbortController().signal;

/** A server and a backend on it. */
async function withServer(
  options: RedisBackendOptions,
  body: (backend: RedisBackend, server: RedisServer, open: () => RedisBackend) => Promise<void>,
  args: readonly string[] = [],
): Promise<void> {
  const server = await startRedis({ args });
  const backends: RedisBackend[] = [];
  const open = () => {
    const backend = new RedisBackend({ url: server.url, exchange: "store", ...options });
    backends.push(backend);
    return backend;
  };
  try {
    await body(open(), server, open);
  } finally {
    for (const backend of backends) await backend[Symbol.asyncDispose]();
    await server.stop();
  }
}

const batch = (count: number, options: PublishOptions = {}, key = "a") =>
  Array.from({ length: count }, (_, n) => createMessage(key, { n }, options));

async function take(receiver: Receiver, count: number): Promise<Claim[]> {
  const claims: Claim[] = [];
  while (claims.length < count) claims.push(...await receiver.pull({ max: count - claims.length, signal: forever }));
  return claims;
}

const ack = (receiver: Receiver, claims: readonly Claim[]) =>
  receiver.settle(claims.map((claim) => ({ claim, verb: "ack" as const })));

async function length(server: RedisServer, key = "{store:0}:stream"): Promise<number> {
  return Number(/\d+/.exec(await server.command("XLEN", key))?.[0]);
}

void it(
  "the stream is trimmed behind the slowest group and never before it",
  { timeout },
  () =>
    withServer({}, async (backend, server) => {
      const fast = await backend.receive({ group: "fast", leaseMs: 60_000 });
      const slow = await backend.receive({ group: "slow", leaseMs: 60_000 });
      for (let round = 0; round < 30; round++) {
        await backend.publishMany(batch(1_000));
        await ack(fast, await take(fast, 1_000));
      }
      assert.equal(await length(server), 30_000);
      const [first, ...rest] = await take(slow, 30_000);
      await ack(slow, rest);
      // One pending entry holds everything behind it.
      assert.equal(await length(server), 30_000);
      assert.ok(first !== undefined);
      await ack(slow, [first]);
      await until(async () => await length(server) === 0, { what: "the stream to be trimmed" });
      await fast.close();
      await slow.close();
    }),
);

void it(
  "what was held of a group that was removed settles nothing in the next group of its name",
  { timeout },
  () =>
    withServer({}, async (backend, _server, open) => {
      await backend.publishMany(batch(1));
      const before = await backend.receive({ group: "g", leaseMs: 60_000 });
      const [held] = await take(before, 1);
      assert.ok(held !== undefined);
      const waiting = before.pull({ max: 1, signal: forever });
      waiting.catch(() => {});
      await open().groups.delete("g");
      await assert.rejects(waiting, { code: "not_found" });
      const after = await backend.receive({ group: "g", leaseMs: 60_000 });
      const [again] = await take(after, 1);
      assert.equal(again?.id, held.id);
      assert.deepEqual(await before.extend([held], 60_000), [false]);
      assert.deepEqual(await ack(before, [held]), [false]);
      assert.deepEqual(await ack(after, [again]), [true]);
    }),
);

void it(
  "what was nacked long ago does not hold the stream",
  { timeout },
  () =>
    withServer({}, async (backend, server) => {
      const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
      await backend.publishMany(batch(500));
      const [first, ...rest] = await take(receiver, 500);
      assert.ok(first !== undefined);
      await receiver.settle([{ claim: first, verb: "nack", delayMs: 3_600_000 }]);
      await ack(receiver, rest);
      await until(async () => await length(server) === 0, { what: "the stream to be trimmed" });
      const { groups } = await backend.stats();
      assert.equal(groups["g"]?.delayed, 1);
      await receiver.close();
    }),
);

void it(
  "consumers of a killed process are forgotten once what they held is taken over",
  { timeout },
  () =>
    withServer({}, async (backend, server) => {
      await backend.groups.create("g");
      await backend.publishMany(batch(3));
      const stream = "{store:0}:stream";
      // A consumer of another process that has died: it never settles, and nothing is heard of it.
      await server.command("XREADGROUP", "GROUP", "g", "dead", "COUNT", "2", "STREAMS", stream, ">");
      await server.command("HSET", "{store:0}:consumers:g", "dead", "100");
      const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
      const seen = new Map<string, number>();
      while (seen.size < 3) {
        for (const claim of await receiver.pull({ max: 10, signal: forever })) {
          seen.set(String(claim.body), claim.attempt);
          await ack(receiver, [claim]);
        }
      }
      assert.deepEqual([...seen].sort(), [['{"n":0}', 2], ['{"n":1}', 2], ['{"n":2}', 1]]);
      await until(async () => !(await server.command("XINFO", "CONSUMERS", stream, "g")).includes("dead"), {
        what: "the dead consumer to be forgotten",
      });
      await receiver.close();
    }),
);

void it("a receiver that leaves leaves nothing behind", { timeout }, () =>
  withServer({}, async (backend, server) => {
    const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
    await backend.publishMany(batch(3));
    await backend.publishMany(batch(2, { orderingKey: "k" }, "b"));
    await take(receiver, 4);
    await receiver.close();
    for (const key of ["consumers", "seen", "holder", "lease"]) {
      assert.equal(await server.command("EXISTS", `{store:0}:${key}:g`), ":0\r\n", key);
    }
    assert.equal(await server.command("XINFO", "CONSUMERS", "{store:0}:stream", "g"), "*0\r\n");
    const { groups } = await backend.stats();
    assert.equal(groups["g"]?.ready, 5);
  }));

void it("removing a group removes all of its keys", { timeout }, () =>
  withServer({}, async (backend, server) => {
    const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
    await backend.publishMany(batch(4));
    await backend.publishMany(batch(2, { orderingKey: "k" }));
    const [one, two, three] = await take(receiver, 3);
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    await receiver.settle([
      { claim: one, verb: "nack", delayMs: 60_000, error: "later" },
      { claim: two, verb: "nack", delayMs: 0 },
      { claim: three, verb: "reject", reason: "no" },
    ]);
    await receiver.close();
    await backend.groups.delete("g");
    const keys = (await server.command("KEYS", "*")).match(/\{store[^\r]*/g) ?? [];
    assert.deepEqual(keys.filter((key) => key.endsWith(":g")), []);
    assert.equal(await server.command("XINFO", "GROUPS", "{store:0}:stream"), "*0\r\n");
  }));

void it(
  "entries of another program in the stream become dead letters",
  { timeout },
  () =>
    withServer({}, async (backend, server) => {
      const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
      await server.command("XADD", "{store:0}:stream", "*", "field", "value");
      await server.command("XADD", "{store:0}:stream", "*", "m", "not ours");
      await backend.publishMany(batch(1));
      await ack(receiver, await take(receiver, 1));
      const { deadLetters } = await backend.deadLetters.list("g", { limit: 10 });
      assert.deepEqual(deadLetters.map(({ reason, body }) => [reason, body]), [
        ["undecodable", "value"],
        ["undecodable", "not ours"],
      ]);
      await receiver.close();
    }),
);

void it(
  "a lease longer than the receiver's holds, and is settled like any other",
  { timeout },
  () =>
    withServer({}, async (backend, _server, open) => {
      const receiver = await backend.receive({ group: "g", leaseMs: 300 });
      const other = await open().receive({ group: "g", leaseMs: 300 });
      await backend.publishMany(batch(3));
      const claims = await take(receiver, 3);
      assert.deepEqual(await receiver.extend(claims, 60_000), [true, true, true]);
      const patience = AbortSignal.timeout(1_500);
      assert.deepEqual(await other.pull({ max: 3, signal: patience }), []);
      const [one, two, three] = claims;
      assert.ok(one !== undefined && two !== undefined && three !== undefined);
      const held = await receiver.settle([
        { claim: one, verb: "ack" },
        { claim: two, verb: "nack", delayMs: 0 },
        { claim: three, verb: "release" },
      ]);
      assert.deepEqual(held, [true, true, true]);
      const again = [...await take(other, 1), ...await take(other, 1)];
      assert.deepEqual(again.map(({ attempt }) => attempt).sort(), [1, 2]);
      await ack(other, again);
      await receiver.close();
      await other.close();
    }),
);

void it(
  "too few replicas refuse a publish, which is told to be stored perhaps",
  { timeout },
  () =>
    withServer({ minReplicas: 1, timeoutMs: 300 }, async (backend) => {
      await assert.rejects(backend.publish("a", {}), { code: "storage", message: /0 of the 1 replicas/ });
      assert.equal((await backend.stats()).retained, 1);
    }),
);

void it(
  "with partitions, every message arrives, each key in order",
  { timeout },
  () =>
    withServer({ partitions: 4 }, async (backend, server) => {
      const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
      const messages = Array.from({ length: 400 }, (_, n) => createMessage(`key.${n % 10}`, { n }));
      await backend.publishMany(messages);
      const bodies = (await take(receiver, 400)).map(({ key, body }) =>
        [key, JSON.parse(String(body)).n as number] as const
      );
      for (let k = 0; k < 10; k++) {
        const numbers = bodies.flatMap(([key, n]) => key === `key.${k}` ? [n] : []);
        assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
        assert.equal(numbers.length, 40);
      }
      const lengths = await Promise.all([0, 1, 2, 3].map((p) => length(server, `{store:${p}}:stream`)));
      assert.ok(lengths.every((each) => each > 0), String(lengths));
      await receiver.close();
    }),
);

void it(
  "a long row of one ordering key holds back no other and is not copied whole",
  { timeout },
  () =>
    withServer({}, async (backend, server) => {
      const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
      await backend.publishMany(batch(15_000, { orderingKey: "hot" }));
      const [hot] = await take(receiver, 1);
      assert.equal(hot?.body, '{"n":0}');
      // While its first is held, no more than a bounded part of the rest waits in the group.
      assert.deepEqual(await receiver.pull({ max: 100, signal: AbortSignal.timeout(1_500) }), []);
      const waiting = Number(/\d+/.exec(await server.command("ZCARD", "{store:0}:queue:g"))?.[0]);
      assert.ok(waiting > 0 && waiting < 11_000, String(waiting));
      assert.ok(hot !== undefined);
      await ack(receiver, [hot]);
      const [next] = await take(receiver, 1);
      assert.equal(next?.body, '{"n":1}');
      await receiver.close();
    }),
);

void it(
  "a batch of long messages is stored whole, in order, or not at all",
  { timeout },
  () =>
    withServer({}, async (backend, server) => {
      const long = Array.from({ length: 50 }, (_, n) => createMessage("a", { n, text: "x".repeat(10_000) }));
      await backend.connect();
      await server.command("CONFIG", "SET", "maxmemory", "1");
      await assert.rejects(backend.publishMany(long), { code: "storage", message: /maxmemory/ });
      await server.command("CONFIG", "SET", "maxmemory", "0");
      await server.command("SET", "{store:0}:stream", "mine");
      await assert.rejects(backend.publishMany(long), { code: "storage", message: /\{store:0\}:stream/ });
      await server.command("DEL", "{store:0}:stream");
      assert.equal(await length(server), 0);
      await Promise.all([backend.publishMany(long), backend.publishMany(batch(1))]);
      const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
      const numbers = (await take(receiver, 51)).map(({ body }) => JSON.parse(String(body)).n as number);
      assert.deepEqual(numbers, [...Array(50).keys(), 0]);
      await receiver.close();
    }),
);

void it("a server that is too old is refused", { timeout }, async () => {
  const client = {
    connect: () => Promise.resolve(),
    sendCommand: () =>
      Promise.resolve(["server", "redis", "version", "6.2.14", "id", 1, "mode", "standalone", "role", "master"]),
    destroy: () => {},
    on: () => {},
  };
  await using backend = new RedisBackend({}, { createClient: () => client });
  await assert.rejects(backend.publish("a", {}), { code: "config", message: /6\.2\.14.*7\.0/ });
});
