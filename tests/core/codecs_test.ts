import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { type Codec, createMessage, jsonCodec, MessageQueue, type MessageQueueOptions } from "../../mod.ts";
import { FaultyBackend, RecordingLogger, until } from "./fakes.ts";
import { backends, bracketed, flipped, PlainBackend, TextBackend } from "./stores.ts";

const timeout = 30_000;

function quiet(options: MessageQueueOptions = {}): MessageQueueOptions {
  return { logger: new RecordingLogger(), reconnect: () => 1, ...options };
}

async function take(mq: MessageQueue, count: number): Promise<unknown[]> {
  const payloads: unknown[] = [];
  for await (const delivery of mq.receive()) {
    payloads.push(delivery.payload);
    await delivery.ack();
    if (payloads.length === count) break;
  }
  return payloads;
}

describe("codecs", () => {
  for (const [name, open] of backends) {
    it(`go through ${name}, each message by what it says it is`, { timeout }, async () => {
      const backend = open();
      const payload = { text: "ä\u0000\ud83d\ude00", list: [1, null] };
      // Writers that share a store, each with a codec of its own.
      for (const codec of [flipped, jsonCodec, bracketed]) {
        await new MessageQueue(backend, { codec }).publish("k", { ...payload, by: codec.contentType });
      }
      const mq = new MessageQueue(backend, quiet({ codecs: [flipped, bracketed] }));
      const seen: unknown[] = [];
      await using _subscription = await mq.subscribe((delivery) =>
        seen.push(delivery.payload, { ...delivery.headers })
      );
      await until(() => seen.length === 6);
      assert.deepEqual(
        seen,
        [flipped, jsonCodec, bracketed].flatMap((codec) => [
          { ...payload, by: codec.contentType },
          {},
        ]),
      );
      await mq.close();
    });

    it(`keep headers beside them on ${name}`, { timeout }, async () => {
      const mq = new MessageQueue(open(), quiet({ codec: flipped }));
      await mq.publish("k", { a: 1 }, { headers: { trace: "1" } });
      const { value } = await mq.receive().next();
      assert.deepEqual({ ...value?.headers }, { trace: "1" });
      assert.deepEqual(value?.payload, { a: 1 });
      await value?.ack();
      await mq.close();
    });
  }

  it("store JSON as JSON text without a content type, whatever else can be read", { timeout }, async () => {
    const backend = new FaultyBackend();
    let stored: unknown;
    backend.beforePublish = ([message]) => void (stored = message);
    await new MessageQueue(backend, { codecs: [flipped] }).publish("k", { a: 1 });
    assert.equal((stored as { body: unknown }).body, '{"a":1}');
    assert.equal("contentType" in (stored as object), false);
  });

  it("give the bytes themselves to a backend that keeps them", { timeout }, async () => {
    const backend = new FaultyBackend();
    const bodies: unknown[] = [];
    backend.beforePublish = (messages) => void bodies.push(...messages.map((each) => [each.body, each.contentType]));
    await new MessageQueue(backend, { codec: flipped }).publish("k", { a: 1 });
    assert.deepEqual(bodies, [[flipped.encode({ a: 1 }), "application/x-flipped"]]);
  });

  it("carry bytes as base64 and text as text where only JSON is kept", { timeout }, async () => {
    const backend = new TextBackend();
    await new MessageQueue(backend, { codec: flipped }).publish("k", {});
    await new MessageQueue(backend, { codec: bracketed }).publish("k", {});
    assert.deepEqual(backend.stored.map(({ body, headers }) => [body, headers]), [
      ['{"base64":"hII="}', { "abe-mq-content-type": "application/x-flipped" }],
      ['{"text":"<{}>"}', { "abe-mq-content-type": "text/x-bracketed" }],
    ]);
  });

  it("send what cannot be decoded to the dead letters whole, past its neighbours", { timeout }, async () => {
    for (const backend of [new FaultyBackend(), new TextBackend()]) {
      const writer = new MessageQueue(backend, { codec: flipped });
      const logger = new RecordingLogger();
      const mq = new MessageQueue(backend, quiet({ logger }));
      await mq.publish("k", { i: 1 });
      await writer.publish("k", { secret: 2 });
      await mq.publish("k", { i: 3 });
      assert.deepEqual(await take(mq, 2), [{ i: 1 }, { i: 3 }]);
      const { deadLetters: [letter] } = await mq.deadLetters.list("default");
      assert.equal(letter?.reason, "undecodable");
      assert.match(letter?.error ?? "", /"application\/x-flipped": no codec reads it/);
      assert.equal(letter?.contentType, "application/x-flipped");
      assert.deepEqual(letter?.body, flipped.encode({ secret: 2 }));
      assert.deepEqual({ ...letter?.headers }, {});
      assert.equal(letter?.payload, undefined);
      // Whoever has the codec sees what it is, and a replay brings it whole.
      const reader = new MessageQueue(backend, quiet({ codecs: [flipped] }));
      assert.deepEqual((await reader.deadLetters.get("default", letter?.id ?? ""))?.payload, { secret: 2 });
      assert.equal(await reader.deadLetters.replay("default"), 1);
      assert.deepEqual(await take(reader, 1), [{ secret: 2 }]);
      assert.doesNotMatch(logger.lines.join(), /secret/);
      await mq.close();
    }
  });

  it("send what cannot be decoded to the queue of dead letters of a backend that has none", { timeout }, async () => {
    const backend = new PlainBackend();
    await new MessageQueue(backend, { codec: flipped }).publish("k", { secret: 1 }, { headers: { h: "1" } });
    await using deadLetters = new MessageQueue(new FaultyBackend());
    const mq = new MessageQueue(backend, quiet({ deadLetters }));
    await mq.publish("k", { next: true });
    assert.deepEqual(await take(mq, 1), [{ next: true }]);
    const { value: letter } = await deadLetters.receive().next();
    assert.deepEqual(letter?.payload, { base64: Buffer.from(flipped.encode({ secret: 1 })).toString("base64") });
    const { "abe-mq-error": error, ...headers } = letter?.headers ?? {};
    assert.match(error ?? "", /no codec reads it/);
    assert.deepEqual(headers, {
      h: "1",
      "abe-mq-carried-type": flipped.contentType,
      "abe-mq-group": "default",
      "abe-mq-reason": "undecodable",
      "abe-mq-attempts": "1",
    });
    await letter?.ack();
    await mq.close();
  });

  it("end the loop where there is no place for what cannot be decoded", { timeout }, async () => {
    const backend = new PlainBackend();
    await new MessageQueue(backend, { codec: flipped }).publish("k", {});
    const mq = new MessageQueue(backend, quiet());
    await assert.rejects(mq.receive().next(), { code: "exhausted" });
    await mq.close();
  });

  it("survive a codec that throws, returns no object, or is given what it never wrote", { timeout }, async () => {
    const broken = (decode: () => never): Codec => ({ ...flipped, decode });
    const readers: [Codec, RegExp][] = [
      [
        broken(() => {
          throw new Error("boom");
        }),
        /Cannot decode application\/x-flipped: boom/,
      ],
      [{ ...flipped, decode: () => 1 as unknown as object }, /it is no object or array/],
      [{ ...bracketed, contentType: flipped.contentType }, /it is not UTF-8/],
    ];
    for (const [codec, message] of readers) {
      const backend = new FaultyBackend();
      await new MessageQueue(backend, { codec: flipped }).publish("k", {});
      const mq = new MessageQueue(backend, quiet({ codecs: [codec] }));
      await mq.publish("k", { next: true });
      assert.deepEqual(await take(mq, 1), [{ next: true }]);
      assert.match((await mq.deadLetters.list("default")).deadLetters[0]?.error ?? "", message);
      await mq.close();
    }
  });

  it("bury a carrier that was tampered with, and deliver its neighbour", { timeout }, async () => {
    for (const body of ['{"base64":"*"}', '{"base64":1}', "[]", "null", "{}", '"text"']) {
      const backend = new TextBackend();
      const headers = { "abe-mq-content-type": flipped.contentType };
      await backend.publishMany([{ ...createMessage("k", {}), body, headers }]);
      const mq = new MessageQueue(backend, quiet({ codecs: [flipped] }));
      await mq.publish("k", { next: true });
      assert.deepEqual(await take(mq, 1), [{ next: true }], body);
      const { deadLetters: [letter] } = await mq.deadLetters.list("default");
      assert.equal(letter?.reason, "undecodable", body);
      assert.equal(letter?.body, body);
      await mq.close();
    }
  });

  it("do not read more than maxBodyBytes, nor write it", { timeout }, async () => {
    for (const codec of [jsonCodec, flipped]) {
      const backend = new FaultyBackend();
      const writer = new MessageQueue(backend, { codec });
      const mq = new MessageQueue(backend, quiet({ codec, maxBodyBytes: 100 }));
      await writer.publish("k", { long: "x".repeat(100) });
      await mq.publish("k", { short: true });
      assert.deepEqual(await take(mq, 1), [{ short: true }]);
      assert.match((await mq.deadLetters.list("default")).deadLetters[0]?.error ?? "", /maxBodyBytes allows 100/);
      await assert.rejects(mq.publish("k", { long: "x".repeat(100) }), { code: "invalid_payload" });
      await mq.close();
    }
  });

  it("bury JSON that is nested without an end, or deliver it, but stall nobody", { timeout }, async () => {
    const backend = new FaultyBackend();
    const depth = 1_000_000;
    await backend.publishMany([{ ...createMessage("deep", {}), body: "[".repeat(depth) }]);
    await backend.publishMany([{ ...createMessage("deep", {}), body: "[".repeat(depth) + "]".repeat(depth) }]);
    const mq = new MessageQueue(backend, quiet());
    await mq.publish("k", { next: true });
    const keys: string[] = [];
    for await (const delivery of mq.receive()) {
      keys.push(delivery.key);
      await delivery.ack();
      if (delivery.key === "k") break;
    }
    const dead = (await mq.stats()).groups.default?.dead ?? 0;
    assert.ok(dead >= 1 && dead + keys.length === 3, `${dead} dead, ${keys.join()}`);
    await mq.close();
  });

  it("hand each group bytes of its own", { timeout }, async () => {
    const raw: Codec = {
      contentType: "application/x-raw",
      kind: "bytes",
      encode: (p) => p as Uint8Array,
      decode: (b) => b,
    };
    const mq = new MessageQueue(new FaultyBackend(), quiet({ codec: raw }));
    for (const group of ["a", "b"]) await mq.groups.create(group);
    await mq.publish("k", new Uint8Array([1, 2]));
    for (const group of ["a", "b"]) {
      const { value } = await mq.receive<Uint8Array>({ group }).next();
      assert.deepEqual([...value?.payload ?? []], [1, 2]);
      value?.payload.fill(9);
      await value?.ack();
    }
    await mq.close();
  });

  it("refuse at once what is wrong", { timeout }, async () => {
    const backend = new PlainBackend();
    const refused: [MessageQueueOptions, RegExp][] = [
      [{ codec: { ...flipped, contentType: "JSON" } }, /"JSON" as contentType/],
      [{ codecs: [{ ...flipped, contentType: "a/b; c=d" }] }, /must be a media type in lower case/],
      [{ codecs: [{ ...flipped, contentType: "application/json" }] }, /two codecs for application\/json/],
      [{ codecs: [flipped, { ...flipped }] }, /two codecs for application\/x-flipped/],
      [{ codec: { ...flipped, kind: "blob" } as unknown as Codec }, /its kind is "text" or "bytes"/],
      [{ compressAboveBytes: -1 }, /-1 as compressAboveBytes/],
      [{ maxBodyBytes: 0 }, /0 as maxBodyBytes/],
    ];
    for (const [options, message] of refused) assert.throws(() => new MessageQueue(backend, options), message);
    const mq = new MessageQueue(backend);
    await assert.rejects(mq.publish("k", {}, { headers: { "abe-mq-content-type": "x" } }), /it is reserved/);
  });
});

describe("compression", () => {
  const long = { text: "abc ".repeat(5_000) };

  for (const [name, open] of backends) {
    it(`goes through ${name}`, { timeout }, async () => {
      for (const codec of [jsonCodec, flipped, bracketed]) {
        const backend = open();
        const mq = new MessageQueue(backend, { codec, compressAboveBytes: 1_000 });
        await mq.publishMany([{ key: "k", payload: long }, { key: "k", payload: { short: true } }]);
        // A reader that would write JSON, and compress nothing.
        const reader = new MessageQueue(backend, quiet({ codecs: codec === jsonCodec ? [] : [codec] }));
        assert.deepEqual(await take(reader, 2), [long, { short: true }]);
        await mq.publish("k", long);
        const seen: unknown[] = [];
        const subscription = await reader.subscribe((delivery) => seen.push(delivery.payload));
        await until(() => seen.length === 1);
        assert.deepEqual(seen, [long]);
        await subscription.drain();
        await reader.close();
      }
    });
  }

  it("makes long bodies shorter, and leaves those that it would make longer", { timeout }, async () => {
    const backend = new FaultyBackend();
    const stored: [number, string | undefined][] = [];
    backend.beforePublish = (messages) =>
      void stored.push(...messages.map((each): [number, string | undefined] => [each.body.length, each.contentType]));
    const mq = new MessageQueue(backend, { compressAboveBytes: 10 });
    await mq.publish("k", long);
    await mq.publish("k", { random: crypto.randomUUID() });
    await mq.publish("k", {});
    const [first, ...others] = stored;
    assert.ok(first !== undefined && first[0] < 500 && first[1] === "application/json;encoding=gzip", String(first));
    assert.deepEqual(others, [[49, undefined], [2, undefined]]);
    await mq.close();
  });

  it("keeps the order of what is published without waiting", { timeout }, async () => {
    const backend = new FaultyBackend();
    const order: string[] = [];
    backend.beforePublish = (messages) => void order.push(...messages.map((each) => each.key));
    const mq = new MessageQueue(backend, { compressAboveBytes: 1_000 });
    const huge = { text: "abc ".repeat(500_000) };
    await Promise.all([
      mq.publish("a", {}),
      mq.publish("b", huge),
      mq.publish("c", {}),
      mq.publish("d", long),
      mq.publishMany([{ key: "e", payload: {} }, { key: "f", payload: long }]),
      mq.publish("g", {}),
    ]);
    assert.equal(order.join(""), "abcdefg");
    const last = mq.publish("h", huge);
    await mq.close();
    assert.ok(await last, "close waits for what is being compressed");
    assert.equal(order.at(-1), "h");
  });

  it("buries what is no gzip, is cut short, or would expand beyond maxBodyBytes", { timeout }, async () => {
    const backend = new FaultyBackend();
    let whole = new Uint8Array();
    backend.beforePublish = ([message]) => void (whole = message?.body as Uint8Array<ArrayBuffer>);
    await new MessageQueue(backend, { compressAboveBytes: 0 }).publish("bomb", { text: "0".repeat(20_000_000) });
    assert.ok(whole.length < 50_000, `${whole.length} bytes expand to 20 MB`);
    const broken = [whole.slice(0, -8), whole.map((byte, i) => i === 10 ? byte ^ 0xff : byte), new Uint8Array([1])];
    backend.beforePublish = () => {};
    await backend.publishMany(broken.map((body) => ({
      ...createMessage("broken", {}),
      body,
      contentType: "application/json;encoding=gzip",
    })));
    const mq = new MessageQueue(backend, quiet({ maxBodyBytes: 1_000_000 }));
    await mq.publish("k", { next: true });
    assert.deepEqual(await take(mq, 1), [{ next: true }]);
    const { deadLetters } = await mq.deadLetters.list("default");
    assert.deepEqual(deadLetters.map(({ key, reason }) => [key, reason]), [
      ["bomb", "undecodable"],
      ["broken", "undecodable"],
      ["broken", "undecodable"],
      ["broken", "undecodable"],
    ]);
    assert.match(deadLetters[0]?.error ?? "", /beyond 1000000 bytes/);
    assert.deepEqual(deadLetters[0]?.body, whole);
    await mq.close();
  });

  it("gives back what was being expanded when the iteration ends", { timeout }, async () => {
    const backend = new FaultyBackend();
    const mq = new MessageQueue(backend, { compressAboveBytes: 0 });
    await mq.publish("k", long);
    const iterator = mq.receive();
    const next = iterator.next();
    await until(() => backend.pulls.length === 1);
    await iterator.return?.();
    const first = await next;
    if (!first.done) await first.value.nack();
    await until(async () => (await mq.stats()).groups.default?.ready === 1);
    await mq.close();
    assert.equal(backend.openReceivers, 0);
  });
});
