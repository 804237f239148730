import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { envFrom, MessageQueue } from "../../mod.ts";
import { MemoryBackend } from "../../backends/memory.ts";

const timeout = 30_000;

describe("MemoryBackend", () => {
  it("gives what a broker would have given: no shared object", { timeout }, async () => {
    await using mq = new MessageQueue(new MemoryBackend());
    const sent = { nested: { list: [1, 2] }, at: new Date(0) };
    await mq.publish("k", sent);
    sent.nested.list.push(3);
    for await (const payload of mq.consume()) {
      assert.deepEqual(payload, { nested: { list: [1, 2] }, at: "1970-01-01T00:00:00.000Z" });
      break;
    }
  });

  it("shares nothing, unless given the same store", { timeout }, async () => {
    await using a = new MessageQueue(new MemoryBackend());
    await using b = new MessageQueue(new MemoryBackend());
    await a.publish("k", { from: "a" });
    assert.equal((await b.stats()).retained, 0);
    const c = new MessageQueue(new MemoryBackend({ store: "shared" }));
    await using d = new MessageQueue(MemoryBackend.fromEnv(envFrom({ MESSAGE_QUEUE_URL: "memory:shared" })));
    await c.publish("k", { from: "c" });
    await c.close();
    assert.deepEqual((await d.consume().next()).value, { from: "c" });
    await d.close();
    await using e = new MessageQueue(new MemoryBackend({ store: "shared" }));
    assert.equal((await e.stats()).retained, 0);
  });

  it("works by itself, without a queue around it", { timeout }, async () => {
    await using backend = new MemoryBackend();
    await backend.publish("a.b", { i: 1 }, { headers: { h: "1" } });
    await backend.publish("c", { i: 2 });
    const abort = new AbortController();
    const seen: unknown[] = [];
    for await (const payload of backend.consume({ group: "g", keys: "a.*", signal: abort.signal })) {
      seen.push(payload);
      abort.abort();
    }
    assert.deepEqual(seen, [{ i: 1 }]);
    await assert.rejects(backend.publish("a", 1 as unknown as object), { code: "invalid_payload" });
  });

  it("refuses bad bounds", { timeout }, () => {
    assert.throws(() => new MemoryBackend({ maxLength: 0 }), /0 as maxLength/);
    assert.throws(() => new MemoryBackend({ maxAgeMs: 0 }), RangeError);
    assert.throws(() => new MemoryBackend({ dedupWindowMs: -1 }), RangeError);
  });

  it("keeps count of what is retained whatever the groups do", { timeout }, async () => {
    await using mq = new MessageQueue(new MemoryBackend({ maxLength: 4 }));
    const retained = async () => (await mq.stats()).retained;
    for (let i = 0; i < 3; i++) await mq.publish("a", { i });
    assert.equal(await retained(), 3);
    await mq.groups.create("early");
    await mq.groups.create("late", { from: "latest" });
    await mq.publish("b", {});
    await assert.rejects(mq.publish("b", {}), { code: "full" });
    const early = mq.receive({ group: "early" });
    for (let i = 0; i < 3; i++) await (await early.next()).value?.ack();
    assert.equal(await retained(), 1);
    await (await early.next()).value?.ack();
    assert.equal(await retained(), 1, "the late group has yet to ack it");
    await mq.groups.delete("late");
    assert.equal(await retained(), 0);
    await mq.publish("c", {});
    await early.return?.();
    await mq.groups.delete("early");
    assert.equal(await retained(), 1, "without a group nothing is dropped");
    await mq.groups.create("fresh", { from: "latest" });
    assert.equal(await retained(), 0);
  });

  it("gives a new group what others hold and have not acked", { timeout }, async () => {
    await using mq = new MessageQueue(new MemoryBackend());
    for (let i = 0; i < 3; i++) await mq.publish("k", { i });
    const first = mq.receive();
    for (let i = 0; i < 3; i++) {
      const delivery = (await first.next()).value;
      if (i !== 1) await delivery?.ack();
    }
    const payload = (await mq.consume({ group: "second" }).next()).value;
    assert.deepEqual(payload, { i: 1 });
  });

  it("fails a consumer whose group is deleted", { timeout }, async () => {
    await using mq = new MessageQueue(new MemoryBackend());
    const next = mq.consume({ group: "g" }).next();
    while ((await mq.stats()).groups.g?.consumers !== 1);
    await mq.groups.delete("g");
    await assert.rejects(next, { code: "not_found" });
  });
});
