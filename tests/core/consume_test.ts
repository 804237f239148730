import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Delivery, MessageQueue, MessageQueueError } from "../../mod.ts";
import { countedSignal, FaultyBackend, RecordingLogger, until } from "./fakes.ts";

const timeout = 30_000;

function open(): { backend: FaultyBackend; mq: MessageQueue; logger: RecordingLogger } {
  const backend = new FaultyBackend();
  const logger = new RecordingLogger();
  return { backend, logger, mq: new MessageQueue(backend, { logger, reconnect: () => 1 }) };
}

async function fill(mq: MessageQueue, count: number): Promise<void> {
  await mq.publishMany(Array.from({ length: count }, (_, i) => ({ key: "a.b", payload: { i } })));
}

async function group(mq: MessageQueue, name = "default") {
  const found = (await mq.stats()).groups[name];
  assert.ok(found, `there is a group ${name}`);
  return found;
}

describe("consume", () => {
  it("acks the last payload when the next is asked for", { timeout }, async () => {
    const { mq } = open();
    await fill(mq, 3);
    const iterator = mq.consume<{ i: number }>({ prefetch: 1 });
    assert.deepEqual((await iterator.next()).value, { i: 0 });
    assert.equal((await group(mq)).inFlight, 1);
    assert.deepEqual((await iterator.next()).value, { i: 1 });
    assert.deepEqual(await ready(mq), { ready: 1, inFlight: 1 });
    await iterator.return?.();
    assert.deepEqual(await ready(mq), { ready: 2, inFlight: 0 });
    await mq.close();
  });

  it(
    "gives back what was fetched ahead without an attempt, and counts one for what was in hand",
    { timeout },
    async () => {
      const { mq } = open();
      await fill(mq, 5);
      for await (const _ of mq.consume()) break;
      const attempts: [number, number][] = [];
      for await (const delivery of mq.receive<{ i: number }>()) {
        attempts.push([delivery.payload.i, delivery.attempt]);
        await delivery.ack();
        if (attempts.length === 5) break;
      }
      assert.deepEqual(attempts.sort(), [[0, 2], [1, 1], [2, 1], [3, 1], [4, 1]]);
      await mq.close();
    },
  );

  it("releases by throw in the body, by throw() and by return()", { timeout }, async () => {
    const { mq } = open();
    await fill(mq, 1);
    await assert.rejects(
      async () => {
        for await (const _ of mq.consume()) throw new Error("body");
      },
      { message: "body" },
    );
    const second = mq.consume();
    await second.next();
    await assert.rejects(async () => await second.throw?.(new Error("mine")), { message: "mine" });
    const third = mq.consume();
    await third.next();
    assert.deepEqual(await third.return?.(), { done: true, value: undefined });
    assert.deepEqual(await third.next(), { done: true, value: undefined });
    const delivery = (await mq.receive().next()).value;
    assert.equal(delivery?.attempt, 4);
    await mq.close();
  });

  it("ends normally on abort: the body in hand finishes and is acked, the rest goes back", { timeout }, async () => {
    const { mq } = open();
    await fill(mq, 5);
    const abort = new AbortController();
    const seen: unknown[] = [];
    for await (const payload of mq.consume({ signal: abort.signal })) {
      seen.push(payload);
      if (seen.length === 2) abort.abort();
    }
    assert.equal(seen.length, 2);
    assert.deepEqual(await ready(mq), { ready: 3, inFlight: 0 });
    assert.equal((await group(mq)).consumers, 0);
    await mq.close();
  });

  it("ends a pending next() on abort, on return() and on close()", { timeout }, async () => {
    const { mq, backend } = open();
    const abort = new AbortController();
    const done = { done: true, value: undefined };
    const first = mq.consume({ signal: abort.signal });
    const waiting = first.next();
    await pulls(backend, 1);
    abort.abort();
    assert.deepEqual(await waiting, done);
    const second = mq.consume();
    const pending = second.next();
    await pulls(backend, 2);
    await second.return?.();
    assert.deepEqual(await pending, done);
    const third = mq.consume().next();
    await pulls(backend, 3);
    await mq.close();
    assert.deepEqual(await third, done);
    assert.equal(backend.openReceivers, 0);
  });

  it("loses nothing when aborted while the group is opened, and while a pull is under way", { timeout }, async () => {
    const { mq, backend } = open();
    await fill(mq, 3);
    const opening = Promise.withResolvers<void>();
    backend.beforeReceive = () => opening.promise;
    const abort = new AbortController();
    const next = mq.consume({ signal: abort.signal }).next();
    abort.abort();
    opening.resolve();
    assert.deepEqual(await next, { done: true, value: undefined });
    const pulling = Promise.withResolvers<void>();
    backend.beforePull = () => pulling.promise;
    const second = new AbortController();
    const late = mq.consume({ signal: second.signal }).next();
    await pulls(backend, 1);
    second.abort();
    pulling.resolve();
    assert.deepEqual(await late, { done: true, value: undefined });
    assert.deepEqual(await ready(mq), { ready: 3, inFlight: 0 });
    assert.equal(backend.openReceivers, 0);
    await mq.close();
  });

  it("does not start when its signal was aborted before", { timeout }, async () => {
    const { mq, backend } = open();
    assert.deepEqual(await mq.consume({ signal: AbortSignal.abort() }).next(), { done: true, value: undefined });
    assert.equal(backend.openReceivers, 0);
    assert.deepEqual((await mq.stats()).groups, {});
    await mq.close();
  });

  it("leaves no listener on the caller's signal", { timeout }, async () => {
    const { mq } = open();
    await fill(mq, 4);
    const { controller, listeners } = countedSignal();
    for (let i = 0; i < 4; i++) {
      const iterator = mq.consume({ signal: controller.signal, group: `g${i}` });
      await iterator.next();
      assert.equal(listeners(), 1);
      await iterator.return?.();
      assert.equal(listeners(), 0);
    }
    const pending = mq.consume({ signal: controller.signal, group: "empty", keys: "none" }).next();
    controller.abort();
    await pending;
    await mq.publish("a", {}, { signal: new AbortController().signal });
    await mq.close();
  });

  it("serves several next() calls at once in order", { timeout }, async () => {
    const { mq } = open();
    await fill(mq, 3);
    const iterator = mq.consume<{ i: number }>();
    const results = await Promise.all([iterator.next(), iterator.next(), iterator.next()]);
    assert.deepEqual(results.map((result) => result.value?.i), [0, 1, 2]);
    await iterator.return?.();
    assert.deepEqual(await ready(mq), { ready: 1, inFlight: 0 });
    await mq.close();
  });

  it("logs a refused ack and goes on", { timeout }, async () => {
    const { mq, backend, logger } = open();
    await fill(mq, 2);
    backend.beforeExtend = () => Promise.reject(new Error("no extension"));
    let expired = false;
    for await (const _ of mq.consume({ prefetch: 1, leaseMs: 150 })) {
      if (expired) break;
      // Another consumer takes it when its lease has run out, as nobody renews it.
      const other = mq.receive({ prefetch: 2 });
      for await (const delivery of other) {
        if (delivery.attempt === 1) continue;
        await delivery.ack();
        expired = true;
        break;
      }
      await mq.publish("a.b", { i: 9 });
    }
    assert.ok(logger.lines.some((line) => line.includes("lease was lost")), logger.lines.join("\n"));
    await mq.close();
  });
});

describe("receive", () => {
  it("never holds more than prefetch, and goes on when one is settled", { timeout }, async () => {
    const { mq, backend } = open();
    await fill(mq, 10);
    const iterator = mq.receive({ prefetch: 3 });
    const held: Delivery[] = [];
    for (let i = 0; i < 3; i++) held.push((await iterator.next()).value as Delivery);
    let fourth: unknown;
    const pending = iterator.next().then((result) => fourth = result.value);
    assert.deepEqual(await ready(mq), { ready: 7, inFlight: 3 });
    assert.equal(fourth, undefined);
    await held[1]?.ack();
    await pending;
    assert.ok(fourth);
    assert.ok(backend.pulls.every((pull) => pull.max <= 3));
    await mq.close();
  });

  it("keeps what was handed over after the loop ended, so that it can be acked late", { timeout }, async () => {
    const { mq, backend } = open();
    await fill(mq, 3);
    const held: Delivery[] = [];
    for await (const delivery of mq.receive()) {
      held.push(delivery);
      if (held.length === 2) break;
    }
    assert.deepEqual(await ready(mq), { ready: 1, inFlight: 2 });
    await Promise.all(held.map((delivery) => delivery.ack()));
    assert.deepEqual(await ready(mq), { ready: 1, inFlight: 0 });
    await until(() => backend.openReceivers === 0);
    await mq.close();
  });

  it("settles once: the first call wins and later ones share its outcome", { timeout }, async () => {
    const { mq, backend } = open();
    await fill(mq, 1);
    const delivery = (await mq.receive().next()).value as Delivery;
    await Promise.all([delivery.ack(), delivery.ack(), delivery.nack(), delivery.reject("late")]);
    assert.deepEqual(backend.settled.flat().map((each) => each.verb), ["ack"]);
    assert.ok(delivery.signal.aborted);
    await assert.rejects(delivery.extend(1_000), { code: "lease_lost" });
    await mq.close();
  });

  it("refuses a stale holder's settlement and aborts its signal", { timeout }, async () => {
    const { mq } = open();
    await fill(mq, 1);
    const stale = (await mq.receive({ leaseMs: 100 }).next()).value as Delivery;
    const { signal } = stale;
    const fresh = (await mq.receive().next()).value as Delivery;
    assert.equal(fresh.attempt, 2);
    await assert.rejects(stale.ack(), { code: "lease_lost" });
    assert.ok(signal.aborted);
    await fresh.ack();
    await mq.close();
  });

  it("extends a lease", { timeout }, async () => {
    const { mq } = open();
    await fill(mq, 1);
    const delivery = (await mq.receive({ leaseMs: 100 }).next()).value as Delivery;
    await delivery.extend(60_000);
    const empty = AbortSignal.timeout(400);
    assert.deepEqual(await mq.receive({ signal: empty }).next(), { done: true, value: undefined });
    await delivery.ack();
    await mq.close();
  });

  it("sends acks of one tick in one call", { timeout }, async () => {
    const { mq, backend } = open();
    await fill(mq, 50);
    const iterator = mq.receive();
    const deliveries: Delivery[] = [];
    while (deliveries.length < 50) deliveries.push((await iterator.next()).value as Delivery);
    await Promise.all(deliveries.map((delivery) => delivery.ack()));
    assert.deepEqual(backend.settled.map((batch) => batch.length), [50]);
    await mq.close();
  });

  it("gives what was delivered before singly", { timeout }, async () => {
    const { mq, backend } = open();
    await fill(mq, 4);
    const first = mq.receive();
    for (let i = 0; i < 4; i++) await ((await first.next()).value as Delivery).nack();
    const second = mq.receive();
    backend.pulls.length = 0;
    for (let i = 0; i < 4; i++) {
      const delivery = (await second.next()).value as Delivery;
      assert.equal(delivery.attempt, 2);
      assert.equal((await group(mq)).inFlight, 1);
      await delivery.ack();
    }
    await mq.close();
  });

  it("buries what cannot be decoded and goes on", { timeout }, async () => {
    const { mq, backend, logger } = open();
    const [one, two] = [message("1", "{broken"), message("2", '{"i":2}')];
    await backend.publishMany([one, two]);
    const delivery = (await mq.receive().next()).value as Delivery;
    assert.deepEqual(delivery.payload, { i: 2 });
    await delivery.ack();
    const dead = await mq.deadLetters.get("default", "1");
    assert.equal(dead?.reason, "undecodable");
    assert.equal(dead?.body, "{broken");
    assert.equal(dead?.payload, undefined);
    assert.ok(!logger.lines.some((line) => line.includes("broken")), "a payload is never logged");
    await mq.close();
  });

  it("refuses bad options before it does anything", { timeout }, async () => {
    const { mq } = open();
    assert.throws(() => mq.receive({ prefetch: 0 }), RangeError);
    assert.throws(() => mq.receive({ leaseMs: 99 }), RangeError);
    assert.throws(() => mq.receive({ group: "" }), TypeError);
    assert.throws(() => mq.receive({ keys: "a..b" }), TypeError);
    await mq.close();
    assert.throws(() => mq.receive(), (error) => error instanceof MessageQueueError && error.code === "closed");
    await assert.rejects(mq.publish("a", {}), { code: "closed" });
    await mq.close();
  });
});

function message(id: string, body: string) {
  return { id, key: "a", body, headers: {}, publishedAt: Date.now(), deduplicate: false };
}

async function ready(mq: MessageQueue): Promise<{ ready: number; inFlight: number }> {
  // Settlements that nobody waits for go out at the end of the tick.
  await new Promise((resolve) => setTimeout(resolve, 0));
  const { ready, inFlight } = await group(mq);
  return { ready, inFlight };
}

async function pulls(backend: FaultyBackend, count: number): Promise<void> {
  await until(() => backend.pulls.length >= count);
}
