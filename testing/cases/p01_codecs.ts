/**
 * Promise 1, of payloads that are not JSON: they arrive whole as well.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { BytesCodec, TextCodec } from "../../mod.ts";
import type { ConformanceCase } from "../case.ts";
import { type CaseContext, message } from "../context.ts";
import type { KitPayload } from "../worker.ts";
import { each, range } from "./expect.ts";

/** JSON's bytes, each turned over, behind one byte of every value: what is neither text nor JSON anywhere on its way. */
const turnedCodec: BytesCodec = {
  contentType: "application/x-kit-turned",
  kind: "bytes",
  encode(payload) {
    const json = new TextEncoder().encode(JSON.stringify(payload));
    return Uint8Array.from([...range(256), ...json.map((byte) => 255 - byte)]);
  },
  decode(body) {
    assert.deepEqual([...body.subarray(0, 256)], range(256), "one byte of every value");
    return JSON.parse(new TextDecoder().decode(body.subarray(256).map((byte) => 255 - byte)));
  },
};

const reversedCodec: TextCodec = {
  contentType: "text/x-kit-reversed",
  kind: "text",
  encode: (payload) => [...JSON.stringify(payload)].reverse().join(""),
  decode: (body) => JSON.parse([...body].reverse().join("")),
};

async function mixed(context: CaseContext): Promise<void> {
  const turned = await context.open({ codec: turnedCodec });
  const reversed = await context.open({ codec: reversedCodec });
  const reader = await context.open({ codecs: [turnedCodec, reversedCodec] });
  for (const n of range(5)) {
    await turned.publish("kit.message", { n: 3 * n });
    await reversed.publish("kit.message", { n: 3 * n + 1, text: "żółw 🐢" });
    await context.a.publish("kit.message", { n: 3 * n + 2 });
  }
  const seen: KitPayload[] = [];
  const consumer = reader.consume<KitPayload & { readonly text?: string }>();
  while (seen.length < 15) {
    const payload = await context.next(consumer, `payload ${seen.length} of three codecs`);
    if (payload.n % 3 === 1) assert.equal(payload.text, "żółw 🐢");
    seen.push(payload);
  }
  await context.leave(consumer);
  each(seen.map(({ n }) => n), range(15), "payloads of three codecs");
}

/** The cases. */
export const codecCases: readonly ConformanceCase[] = [
  {
    name: "payloads of other codecs than JSON arrive as they were sent",
    promise: 1,
    needs: ["codecs"],
    run: mixed,
  },
  {
    name: "without codecs, payloads of other codecs than JSON travel inside JSON",
    promise: 1,
    lacks: "codecs",
    how: "emulated",
    run: mixed,
  },
  {
    name: "large payloads are compressed on their way and arrive as they were sent",
    promise: 1,
    async run(context) {
      const queue = await context.open({ compressAboveBytes: 100 });
      const text = "compressible ".repeat(10_000);
      await queue.publish("kit.message", { n: 1, text });
      const consumer = context.b.consume();
      assert.deepEqual(await context.next(consumer, "a payload that was compressed"), { n: 1, text });
      await context.leave(consumer);
    },
  },
  {
    name: "a driver keeps bytes and their content type",
    promise: 1,
    needs: ["codecs", "receive"],
    async run(context) {
      const backend = await context.openBackend();
      const body = Uint8Array.from(range(256));
      const contentType = "application/x-kit; part=1";
      await backend.publishMany([message(0, { body, contentType, headers: { kind: "bytes" } }), message(1)]);
      const receiver = await context.receiver({}, backend);
      const { signal } = new AbortController();
      const [claim] = await context.within(receiver.pull({ max: 1, signal }), "a pull");
      assert.equal(claim?.contentType, contentType);
      assert.ok(claim.body instanceof Uint8Array, "bytes come as bytes");
      assert.deepEqual([...claim.body], range(256));
      assert.deepEqual({ ...claim.headers }, { kind: "bytes" });
      await receiver.settle([{ claim, verb: "nack", delayMs: 0 }]);
      const [again] = await context.within(receiver.pull({ max: 1, signal }), "a pull of what was nacked");
      assert.equal(again?.contentType, contentType, "after a retry as well");
      assert.ok(again.body instanceof Uint8Array);
      assert.deepEqual([...again.body], range(256), "after a retry as well");
      await receiver.settle([{ claim: again, verb: "ack" }]);
      const [json] = await context.within(receiver.pull({ max: 1, signal }), "a pull of JSON");
      assert.equal(json?.contentType, undefined, "JSON has no content type");
    },
  },
  {
    name: "what no codec reads is a dead letter, whole, and its neighbours arrive",
    promise: 9,
    needs: ["deadLetters"],
    async run(context) {
      const turned = await context.open({ codec: turnedCodec });
      await context.a.publish("kit.message", { n: 0 });
      await turned.publish("kit.message", { n: 1 }, { headers: { kind: "turned" } });
      await context.a.publish("kit.message", { n: 2 });
      const consumer = context.b.consume<KitPayload>();
      const seen = [
        (await context.next(consumer, "the payload before")).n,
        (await context.next(consumer, "the payload behind")).n,
      ];
      await context.leave(consumer);
      each(seen, [0, 2], "what can be read");
      const { deadLetters: [letter] } = await context.b.deadLetters.list("default");
      assert.equal(letter?.reason, "undecodable");
      assert.equal(letter.contentType, turnedCodec.contentType);
      assert.ok(letter.body instanceof Uint8Array, "bytes come as bytes");
      assert.deepEqual([...letter.body], [...turnedCodec.encode({ n: 1 })], "the whole body");
      assert.deepEqual({ ...letter.headers }, { kind: "turned" });
      // Whoever has the codec gets it, once it is replayed.
      const reader = await context.open({ codecs: [turnedCodec] });
      assert.equal(await reader.deadLetters.replay("default", [letter.id]), 1);
      // What the loop above had in hand when it was left comes again, too.
      const again = reader.consume<KitPayload>();
      const replayed = [
        (await context.next(again, "the first of two")).n,
        (await context.next(again, "the second of two")).n,
      ];
      each(replayed, [1, 2], "what was replayed, and what was given back");
      await context.leave(again);
    },
  },
];
