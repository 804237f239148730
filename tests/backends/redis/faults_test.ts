import assert from "node:assert/strict";
import { it } from "node:test";
import { RedisBackend } from "../../../backends/redis.ts";
import { createMessage } from "../../../core/message.ts";
import { MessageQueue, MessageQueueError } from "../../../mod.ts";
import { until } from "../../wait.ts";
import { eager, flows, startTraffic } from "./audit.ts";
import { startProxy } from "./proxy.ts";
import { startRedis } from "./server.ts";

const timeout = 120_000;
const forever = new AbortController().signal;

void it("what was acknowledged arrives though the server is killed under load", { timeout }, async () => {
  const server = await startRedis();
  try {
    await using traffic = await startTraffic({ url: server.url, exchange: "killed", timeoutMs: 1_000 });
    for (let round = 0; round < 3; round++) {
      await flows(traffic, 300);
      await server.kill();
      await server.start();
    }
    await flows(traffic, 50);
    const { acknowledged, lost } = await traffic.finish();
    assert.ok(acknowledged > 900);
    assert.equal(lost, 0);
  } finally {
    await server.stop();
  }
});

void it("what was acknowledged arrives though connections are cut and vanish in every phase", { timeout }, async () => {
  const server = await startRedis();
  const proxy = await startProxy(server.port);
  try {
    await using traffic = await startTraffic({ url: proxy.url, exchange: "cut", timeoutMs: 500 });
    for (const bytes of [1, 5, 40, 300, 2_000, 20_000]) {
      await flows(traffic, 50);
      proxy.cutAfter(bytes);
      await flows(traffic, 50);
      proxy.cut();
    }
    for (let round = 0; round < 2; round++) {
      await flows(traffic, 50);
      proxy.vanish();
      await flows(traffic, 50);
    }
    const { lost } = await traffic.finish();
    assert.equal(lost, 0);
  } finally {
    await proxy.close();
    await server.stop();
  }
});

void it(
  "claims whose answer was lost with the connection come again before their lease ends",
  { timeout },
  async () => {
    const server = await startRedis();
    const proxy = await startProxy(server.port);
    await using publisher = new RedisBackend({ url: server.url, exchange: "recover" });
    await using backend = new RedisBackend({ url: proxy.url, exchange: "recover" });
    try {
      // With this lease the test would time out, were it waited for.
      const receiver = await backend.receive({ group: "g", leaseMs: 3_600_000 });
      const pulled = receiver.pull({ max: 10, signal: forever });
      await until(async () => Number((await server.command("CLIENT", "LIST")).match(/cmd=xreadgroup/g)?.length) > 0, {
        what: "the reader to block",
      });
      proxy.cutAfter(10);
      await publisher.publishMany([createMessage("a", { n: 1 })]);
      await assert.rejects(pulled, (error) => error instanceof MessageQueueError && error.retryable);
      const claims = await receiver.pull({ max: 10, signal: forever });
      assert.deepEqual(claims.map(({ body, attempt }) => ({ body, attempt })), [{ body: '{"n":1}', attempt: 1 }]);
      assert.deepEqual(await receiver.settle(claims.map((claim) => ({ claim, verb: "ack" as const }))), [true]);
    } finally {
      await backend[Symbol.asyncDispose]();
      await publisher[Symbol.asyncDispose]();
      await proxy.close();
      await server.stop();
    }
  },
);

void it("out of memory refuses publishes and goes on consuming", { timeout }, async () => {
  const server = await startRedis();
  const queue = new MessageQueue(new RedisBackend({ url: server.url, exchange: "oom" }), eager);
  try {
    await queue.publishMany(Array.from({ length: 20 }, (_, n) => ({ key: "a", payload: { n } })));
    await server.command("CONFIG", "SET", "maxmemory", "1");
    await assert.rejects(queue.publish("a", { n: 20 }), { code: "storage", message: /maxmemory/ });
    // The group is not there yet, so making it needs memory.
    await server.command("CONFIG", "SET", "maxmemory", "0");
    await queue.groups.create("g");
    await server.command("CONFIG", "SET", "maxmemory", "1");
    // Nacks, too, though they store something: or what is nacked would be lost.
    const seen: string[] = [];
    for await (const delivery of queue.receive<{ n: number }>({ group: "g", prefetch: 5 })) {
      seen.push(`${delivery.payload.n}/${delivery.attempt}`);
      if (delivery.attempt === 1 && delivery.payload.n % 2 === 0) await delivery.nack();
      else await delivery.ack();
      if (seen.length === 30) break;
    }
    assert.equal(new Set(seen).size, 30);
    await server.command("CONFIG", "SET", "maxmemory", "0");
    await queue.publish("a", { n: 21 });
    const { groups } = await queue.stats();
    assert.equal(groups["g"]?.ready, 1);
  } finally {
    await queue.close();
    await server.stop();
  }
});

void it("READONLY is waited out by publishers and consumers", { timeout }, async () => {
  const server = await startRedis();
  try {
    await using traffic = await startTraffic({ url: server.url, exchange: "readonly", timeoutMs: 1_000 }, {
      publishers: 4,
    });
    await flows(traffic, 50);
    await server.command("REPLICAOF", "127.0.0.1", "1");
    const before = traffic.acknowledged();
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(traffic.acknowledged() <= before + 4, "nothing is acknowledged by a replica");
    await server.command("REPLICAOF", "NO", "ONE");
    await flows(traffic, 50);
    assert.equal((await traffic.finish()).lost, 0);
  } finally {
    await server.stop();
  }
});

void it("LOADING is waited out", { timeout }, async () => {
  const server = await startRedis();
  const queue = new MessageQueue(new RedisBackend({ url: server.url, exchange: "loading" }), eager);
  try {
    for (let round = 0; round < 3; round++) {
      await queue.publishMany(Array.from({ length: 1_000 }, (_, n) => ({ key: "a", payload: { n } })));
    }
    await server.kill();
    // So slow a start that the answer LOADING is seen: half a millisecond for each command in its file.
    await server.start({ args: ["--key-load-delay", "500"], loading: true });
    assert.match(await server.command("GET", "x"), /LOADING/);
    await queue.publish("b", { n: -1 }, { publishTimeoutMs: 60_000 });
    for await (const { n } of queue.consume<{ n: number }>({ keys: "b" })) {
      assert.equal(n, -1);
      break;
    }
  } finally {
    await queue.close();
    await server.stop();
  }
});

void it("a missing or wrong password is a configuration error that does not tell it", { timeout }, async () => {
  const server = await startRedis({ args: ["--requirepass", "sesame"], password: "sesame" });
  try {
    const tries = { none: {}, wrong: { password: "tahini-7" }, user: { username: "ali", password: "tahini-7" } };
    for (const [name, login] of Object.entries(tries)) {
      await using backend = new RedisBackend({ url: server.url, exchange: "login", ...login });
      await assert.rejects(backend.publish("a", {}), (error: Error) => {
        assert.ok(
          error instanceof MessageQueueError && error.code === "config" && !error.retryable,
          `${name}: ${error}`,
        );
        assert.doesNotMatch(error.message, /tahini|sesame/);
        return true;
      });
    }
    await using backend = new RedisBackend({ url: server.url, exchange: "login", password: "sesame" });
    await backend.publish("a", {});
  } finally {
    await server.stop();
  }
});

void it("a key of another program is named", { timeout }, async () => {
  const server = await startRedis();
  await using backend = new RedisBackend({ url: server.url, exchange: "taken" });
  try {
    await server.command("SET", "{taken:0}:stream", "mine");
    await assert.rejects(backend.publish("a", {}), { code: "storage", message: /\{taken:0\}:stream/ });
    await server.command("DEL", "{taken:0}:stream");
    await backend.groups.create("g");
    await server.command("SET", "{taken:0}:ready:g", "mine");
    const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
    await assert.rejects(receiver.pull({ max: 1, signal: forever }), {
      code: "storage",
      message: /\{taken:0\}:ready:g/,
    });
    assert.equal(await server.command("GET", "{taken:0}:ready:g"), "$4\r\nmine\r\n");
  } finally {
    await backend[Symbol.asyncDispose]();
    await server.stop();
  }
});

void it("flushed scripts are loaded again", { timeout }, async () => {
  const server = await startRedis();
  try {
    await using traffic = await startTraffic({ url: server.url, exchange: "flushed" }, { publishers: 2, consumers: 1 });
    for (let round = 0; round < 5; round++) {
      await flows(traffic, 20);
      await server.command("SCRIPT", "FLUSH");
    }
    await using backend = new RedisBackend({ url: server.url, exchange: "flushed-too" });
    await backend.connect();
    await server.command("SCRIPT", "FLUSH");
    await Promise.all([1, 2, 3].map((n) => backend.publish("a", { n }, { id: `id-${n}` })));
    assert.equal((await backend.stats()).retained, 3);
    assert.equal((await traffic.finish()).lost, 0);
  } finally {
    await server.stop();
  }
});

void it("a clock that jumps ahead lets nobody settle what was taken over", { timeout }, async () => {
  const server = await startRedis();
  await using backend = new RedisBackend({ url: server.url, exchange: "ahead" });
  try {
    await backend.publishMany([1, 2].map((n) => createMessage("a", { n })));
    const stale = await backend.receive({ group: "g", leaseMs: 600_000 });
    const held = await stale.pull({ max: 2, signal: forever });
    // What a jump by an hour makes of pending entries; their holder's own clock says that the lease has just begun.
    const consumers = await server.command("XINFO", "CONSUMERS", "{ahead:0}:stream", "g");
    const consumer = /[0-9a-f-]{36}/.exec(consumers)?.[0] ?? "";
    const pending = await server.command("XPENDING", "{ahead:0}:stream", "g", "-", "+", "10");
    const ids = [...new Set(pending.match(/\d{13}-\d+/g))];
    await server.command("XCLAIM", "{ahead:0}:stream", "g", consumer, "0", ...ids, "IDLE", "3600000", "JUSTID");
    const other = await backend.receive({ group: "g", leaseMs: 600_000 });
    const [taken] = await other.pull({ max: 2, signal: forever });
    assert.equal(taken?.attempt, 2);
    assert.deepEqual(await stale.settle(held.map((claim) => ({ claim, verb: "ack" as const }))), [false, false]);
    assert.deepEqual(await other.settle(taken === undefined ? [] : [{ claim: taken, verb: "ack" }]), [true]);
  } finally {
    await backend[Symbol.asyncDispose]();
    await server.stop();
  }
});

void it("a clock that jumps back keeps messages in order and delivers them", { timeout }, async () => {
  const server = await startRedis();
  await using backend = new RedisBackend({ url: server.url, exchange: "back" });
  try {
    const receiver = await backend.receive({ group: "g", leaseMs: 60_000 });
    // The last id of a stream stays behind a clock that goes back: new ones count on from it.
    const future = String(Date.now() + 3_600_000);
    await server.command("XADD", "{back:0}:stream", `${future}-0`, "m", `x\na\n${Date.now()}\n\n\n{"n":0}`);
    await backend.publishMany([1, 2, 3].map((n) => createMessage("a", { n })));
    const bodies: string[] = [];
    while (bodies.length < 8) {
      const claims = await receiver.pull({ max: 10, signal: forever });
      bodies.push(...claims.map(({ body, attempt }) => `${body}${attempt}`));
      const verb = bodies.length < 5 ? { verb: "nack" as const, delayMs: 0 } : { verb: "ack" as const };
      assert.ok((await receiver.settle(claims.map((claim) => ({ claim, ...verb })))).every(Boolean));
    }
    assert.deepEqual(bodies, [0, 1, 2, 3].map((n) => `{"n":${n}}1`).concat([0, 1, 2, 3].map((n) => `{"n":${n}}2`)));
    await until(async () => (await backend.stats()).retained === 0, { what: "the stream to be trimmed" });
  } finally {
    await backend[Symbol.asyncDispose]();
    await server.stop();
  }
});
