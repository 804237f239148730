import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { encryption, type Keyring, makeKey } from "../../examples/encryption.ts";
import { createMessage, MessageQueue } from "../../mod.ts";
import { RecordingLogger, until } from "../core/fakes.ts";
import { backends, flipped, TextBackend } from "../core/stores.ts";
import { run, runtimeCommand, thisRuntime } from "../process.ts";

const timeout = 60_000;

async function keyring(): Promise<{ ring: () => Keyring; rotate: (id: string) => Promise<void>; forget: () => void }> {
  const keys = new Map([["a", await makeKey()]]);
  let current = "a";
  return {
    ring: () => ({ current, keys }),
    rotate: async (id) => {
      keys.set(id, await makeKey());
      current = id;
    },
    forget: () => keys.delete("a"),
  };
}

describe("the encryption example", () => {
  for (const [name, make] of backends) {
    it(`keeps payloads from ${name}, through a rotation`, { timeout }, async () => {
      const backend = make();
      const { ring, rotate } = await keyring();
      const mq = new MessageQueue(backend, { codec: flipped, logger: new RecordingLogger(), compressAboveBytes: 500 });
      mq.use(encryption(ring));
      await mq.publish("k", { secret: "first" });
      await rotate("b");
      await mq.publish("k", { secret: "second", long: "x".repeat(1_000) });
      if (backend instanceof TextBackend) {
        const stored = JSON.stringify(backend.stored);
        assert.doesNotMatch(stored, /secret|first/);
        assert.deepEqual(backend.stored.map(({ headers }) => headers["key-id"]), ["a", "b"]);
      }
      const seen: unknown[] = [];
      for await (const delivery of mq.receive()) {
        seen.push((delivery.payload as { secret: string }).secret, Object.keys(delivery.headers));
        await delivery.ack();
        if (seen.length === 4) break;
      }
      assert.deepEqual(seen, ["first", [], "second", []]);
      await mq.close();
    });
  }

  it("buries what was changed or never encrypted, and tries again while a key is missing", { timeout }, async () => {
    const backend = new TextBackend();
    const { ring, rotate, forget } = await keyring();
    const mq = new MessageQueue(backend, { logger: new RecordingLogger(), reconnect: () => 1 });
    mq.use(encryption(ring));
    await mq.publish("good", { n: 1 });
    const [stored] = backend.stored;
    assert.ok(stored);
    await backend.publishMany([{ ...stored, key: "moved" }]);
    await backend.publishMany([createMessage("plain", { n: 2 })]);
    await mq.groups.create("default", { maxAttempts: 3 });
    await rotate("b");
    const seen: string[] = [];
    await using subscription = await mq.subscribe((delivery) => void seen.push(delivery.key), { retry: () => 1 });
    await until(async () => (await mq.stats()).retained === 0);
    assert.deepEqual(seen, ["good"]);
    await backend.publishMany([{ ...stored, deduplicate: false }]);
    forget();
    await until(async () => (await mq.stats()).retained === 0);
    await subscription.drain();
    const { deadLetters } = await mq.deadLetters.list("default");
    assert.deepEqual(deadLetters.map(({ key, reason, attempts }) => [key, reason, attempts]), [
      ["moved", "undecodable", 1],
      ["plain", "undecodable", 1],
      ["good", "exhausted", 3],
    ]);
    await mq.close();
  });

  it("runs as it stands", { timeout }, async () => {
    const result = await run(runtimeCommand(thisRuntime, "examples/encryption.ts"));
    assert.equal(result.code, 0, result.output);
    assert.match(result.stdout, /Ada[\s\S]*Grace/);
  });
});
