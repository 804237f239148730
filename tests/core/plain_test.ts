import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type Capabilities,
  type ConsumeOptions,
  MessageQueue,
  type MessageQueueBackend,
  type MessageQueueError,
  type Payload,
} from "../../mod.ts";
import { MemoryBackend } from "../../backends/memory.ts";
import { RecordingLogger, until } from "./fakes.ts";

const timeout = 30_000;

/** Three methods over an array: what the author of a small plugin writes. */
class LineBackend implements MessageQueueBackend {
  readonly lines: string[] = [];
  asked = 0;
  ended = 0;
  beforeYield: () => void = () => {};
  readonly #waiting = new Set<() => void>();
  readonly capabilities?: Capabilities;

  constructor(capabilities?: Capabilities) {
    if (capabilities !== undefined) this.capabilities = capabilities;
  }

  publish(_key: string, payload: Payload): Promise<void> {
    this.lines.push(JSON.stringify(payload));
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
    return Promise.resolve();
  }

  async *consume({ signal }: ConsumeOptions = {}): AsyncGenerator<Payload> {
    try {
      while (!signal?.aborted) {
        this.asked++;
        const line = this.lines.shift();
        if (line === undefined) {
          await new Promise<void>((resolve) => {
            this.#waiting.add(resolve);
            signal?.addEventListener("abort", () => resolve(), { once: true });
          });
          continue;
        }
        let done = false;
        try {
          this.beforeYield();
          yield JSON.parse(line);
          done = true;
        } finally {
          if (!done) this.lines.unshift(line);
        }
      }
    } finally {
      this.ended++;
    }
  }
}

function open(options: { capabilities?: Capabilities; deadLetters?: MessageQueue } = {}) {
  const backend = new LineBackend(options.capabilities);
  const logger = new RecordingLogger();
  const { deadLetters } = options;
  const mq = new MessageQueue(backend, { logger, reconnect: () => 1, ...(deadLetters && { deadLetters }) });
  return { backend, logger, mq };
}

describe("a backend of three methods", () => {
  it("acks by being asked for the next, and gives back what is not", { timeout }, async () => {
    const { mq, backend } = open();
    for (let i = 0; i < 3; i++) await mq.publish("k", { i });
    for await (const payload of mq.consume<{ i: number }>()) if (payload.i === 1) break;
    assert.deepEqual(backend.lines, ['{"i":1}', '{"i":2}']);
    assert.equal(backend.ended, 1);
    await mq.close();
  });

  it("carries headers in an envelope only when there are any", { timeout }, async () => {
    const { mq, backend } = open();
    await mq.publish("k", { plain: true });
    assert.deepEqual(backend.lines, ['{"plain":true}']);
    await mq.publish("k", { i: 1 }, { headers: { trace: "t" } });
    const lookalike = { "abe-mq:envelope": 1, headers: { fake: "f" }, payload: { i: 2 } };
    await mq.publish("k", lookalike);
    const got: unknown[] = [];
    for await (const delivery of mq.receive()) {
      got.push([delivery.key, delivery.payload, delivery.headers, delivery.attempt]);
      await delivery.ack();
      if (got.length === 3) break;
    }
    assert.deepEqual(got, [
      ["", { plain: true }, {}, 1],
      ["", { i: 1 }, { trace: "t" }, 1],
      ["", lookalike, {}, 1],
    ]);
    await mq.close();
  });

  it("is retried in place: the next is not asked for before", { timeout }, async () => {
    const { mq, backend } = open();
    await mq.publish("k", { i: 1 });
    await mq.publish("k", { i: 2 });
    const seen: [number, number, number][] = [];
    await using _subscription = await mq.subscribe<{ i: number }>((delivery) => {
      seen.push([delivery.payload.i, delivery.attempt, backend.asked]);
      if (delivery.payload.i === 1 && delivery.attempt < 3) throw new Error("again");
    }, { retry: () => 2 });
    await until(() => seen.length === 4);
    assert.deepEqual(seen, [[1, 1, 1], [1, 2, 1], [1, 3, 1], [2, 1, 2]]);
    await mq.close();
  });

  it("sends what failed for good to the queue of dead letters", { timeout }, async () => {
    const deadLetters = new MessageQueue(new MemoryBackend());
    const { mq } = open({ deadLetters });
    await mq.publish("k", { i: 1 }, { headers: { h: "1" } });
    await mq.publish("k", { i: 2 });
    const handled = Promise.withResolvers<void>();
    await using _subscription = await mq.subscribe<{ i: number }>(({ payload }) => {
      if (payload.i === 1) throw new Error("poison");
      handled.resolve();
    }, { retry: ({ attempt }) => attempt === 2 ? null : 0 });
    await handled.promise;
    const dead = (await deadLetters.receive({ keys: "dead.*" }).next()).value;
    assert.equal(dead?.key, "dead.default");
    assert.deepEqual(dead?.payload, { i: 1 });
    assert.deepEqual(dead?.headers, {
      h: "1",
      "abe-mq-group": "default",
      "abe-mq-reason": "failed",
      "abe-mq-error": "poison",
      "abe-mq-attempts": "2",
    });
    await mq.close();
    await deadLetters.close();
  });

  it(
    "ends a subscription with an error when there is no place for a dead letter, and keeps the message",
    { timeout },
    async () => {
      const { mq, backend } = open();
      await mq.publish("k", { i: 1 });
      const attempts: number[] = [];
      const subscription = await mq.subscribe((delivery) => {
        attempts.push(delivery.attempt);
        throw new Error("poison");
      }, { retry: () => 0 });
      await assert.rejects(subscription.closed, (error: MessageQueueError) => {
        assert.equal(error.code, "exhausted");
        assert.match(error.message, /option deadLetters/);
        return true;
      });
      assert.equal(attempts.length, 10);
      assert.deepEqual(backend.lines, ['{"i":1}']);
      await mq.close();
    },
  );

  it("is consumed again when its iteration fails or ends by itself", { timeout }, async () => {
    const { mq, backend, logger } = open();
    let failures = 3;
    backend.beforeYield = () => {
      if (failures-- > 0) throw new Error("socket hang up");
    };
    await mq.publish("k", { i: 1 });
    for await (const payload of mq.consume()) {
      assert.deepEqual(payload, { i: 1 });
      break;
    }
    assert.ok(logger.lines.some((line) => line.includes("socket hang up")));
    backend.beforeYield = () => {
      throw new TypeError("a bug");
    };
    await assert.rejects(mq.consume().next(), TypeError);
    await mq.close();
  });

  it("is given a group and a filter only when it declares them", { timeout }, async () => {
    const options: ConsumeOptions[] = [];
    const { mq, backend } = open({ capabilities: { groups: true, keys: true } });
    const consume = backend.consume.bind(backend);
    backend.consume = (given) => {
      options.push(given ?? {});
      return consume(given);
    };
    await mq.publish("k", {});
    for await (const _ of mq.consume({ group: "g", keys: "a.*" })) break;
    assert.deepEqual([options[0]?.group, options[0]?.keys], ["g", "a.*"]);
    const seen: unknown[] = [];
    await using subscription = await mq.subscribe(async () => {
      seen.push(1);
      await until(() => seen.length >= 3);
    }, { concurrency: 3, group: "g" });
    for (let i = 0; i < 3; i++) await mq.publish("k", { i });
    await until(() => seen.length >= 3);
    await subscription.drain();
    await mq.close();
  });

  it("runs no more iterations than it handles messages, and loses none of what they give", { timeout }, async () => {
    const { mq, backend } = open({ capabilities: { groups: true } });
    let iterations = 0;
    const consume = backend.consume.bind(backend);
    backend.consume = (options) => {
      iterations++;
      return consume(options);
    };
    for (const concurrency of [1, 3]) {
      iterations = 0;
      const seen: number[] = [];
      const subscription = await mq.subscribe<{ i: number }>(({ payload, attempt }) => {
        if (attempt === 1 && payload.i % 7 === 0) throw new Error("again");
        seen.push(payload.i);
      }, { concurrency, retry: () => 1 });
      for (let i = 0; i < 200; i++) await mq.publish("k", { i });
      await until(() => seen.length === 200);
      assert.equal(iterations, concurrency);
      assert.equal(new Set(seen).size, 200);
      await subscription.drain();
    }
    await mq.close();
  });

  it("is refused what it does not declare", { timeout }, async () => {
    const { mq } = open();
    const unsupported = { code: "unsupported" };
    assert.throws(() => mq.consume({ group: "g" }), unsupported);
    assert.throws(() => mq.consume({ keys: "a" }), unsupported);
    assert.throws(() => mq.receive({ leaseMs: 1_000 }), unsupported);
    await assert.rejects(mq.subscribe(() => {}, { concurrency: 2 }), unsupported);
    await assert.rejects(mq.publish("k", {}, { delayMs: 1 }), unsupported);
    await assert.rejects(mq.publish("k", {}, { deliverAt: new Date() }), unsupported);
    await assert.rejects(mq.publish("k", {}, { orderingKey: "o" }), unsupported);
    await assert.rejects(mq.publish("k", {}, { id: "i" }), unsupported);
    await assert.rejects(mq.groups.list(), unsupported);
    await assert.rejects(mq.deadLetters.list("default"), unsupported);
    await assert.rejects(mq.stats(), unsupported);
    await assert.rejects(mq.ping(), unsupported);
    await assert.rejects(mq.publish("k", { big: 1n }), { code: "invalid_payload" });
    await mq.close();
  });

  it("ends when aborted while it waits, and leaves nothing behind", { timeout }, async () => {
    const { mq, backend } = open();
    const abort = new AbortController();
    const next = mq.consume({ signal: abort.signal }).next();
    await until(() => backend.asked === 1);
    abort.abort();
    assert.deepEqual(await next, { done: true, value: undefined });
    assert.equal(backend.ended, 1);
    await mq.close();
  });
});
