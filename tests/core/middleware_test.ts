import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, it } from "node:test";
import {
  MessageQueue,
  MessageQueueError,
  type MessageQueueOptions,
  type Middleware,
  type MiddlewareContext,
  type ProcessContext,
  PublishManyError,
} from "../../mod.ts";
import { FaultyBackend, RecordingLogger, until } from "./fakes.ts";
import { backends, flipped } from "./stores.ts";

const timeout = 30_000;

function open(options: MessageQueueOptions = {}): AsyncDisposable & {
  backend: FaultyBackend;
  mq: MessageQueue;
  logger: RecordingLogger;
} {
  const backend = new FaultyBackend();
  const logger = new RecordingLogger();
  const mq = new MessageQueue(backend, { logger, reconnect: () => 1, ...options });
  return { backend, logger, mq, [Symbol.asyncDispose]: () => mq.close() };
}

function noting(notes: string[], name: string): Middleware {
  return async (context, next) => {
    notes.push(`${name} ${context.operation}`);
    try {
      await next();
      notes.push(`${name} done`);
    } catch (error) {
      notes.push(`${name} failed: ${(error as Error).message}`);
      throw error;
    }
  };
}

function only(operation: MiddlewareContext["operation"], middleware: Middleware): Middleware {
  return (context, next) => context.operation === operation ? middleware(context, next) : next();
}

async function received(mq: MessageQueue) {
  const iterator = mq.receive();
  const { value } = await iterator.next();
  assert.ok(value);
  // Gives back what was fetched ahead; this one is still to be settled.
  await iterator.return?.();
  return value;
}

async function letters(mq: MessageQueue): Promise<(string | undefined)[][]> {
  const { deadLetters } = await mq.deadLetters.list("default");
  return deadLetters.map(({ key, reason, error }) => [key, reason, error]);
}

describe("middleware", () => {
  it("stands in the order of use on the way out, and in the reverse on the way in", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    const notes: string[] = [];
    assert.equal(mq.use(noting(notes, "a")).use(noting(notes, "b")), mq);
    await mq.publish("k", {});
    assert.deepEqual(notes.splice(0), ["a publish", "b publish", "b done", "a done"]);
    await using subscription = await mq.subscribe(() => void notes.push("handler"));
    await until(() => notes.length === 5);
    await subscription.drain();
    assert.deepEqual(notes, ["b process", "a process", "handler", "a done", "b done"]);
    assert.equal((await mq.stats()).retained, 0);
  });

  it("sees what there is to see of a message", { timeout }, async () => {
    await using opened = open({ codec: flipped });
    const { mq } = opened;
    const seen: MiddlewareContext[] = [];
    mq.use((context, next) => {
      seen.push({ ...context, headers: { ...context.headers } });
      return next();
    });
    const before = Date.now();
    await mq.publish("a.b", { x: 1 }, { headers: { h: "1" }, id: "mine", orderingKey: "o" });
    const delivery = await received(mq);
    await delivery.ack();
    const common = {
      id: "mine",
      key: "a.b",
      orderingKey: "o",
      body: flipped.encode({ x: 1 }),
      contentType: flipped.contentType,
      headers: { h: "1" },
    };
    assert.deepEqual(seen[0], { operation: "publish", batchSize: 1, ...common });
    const { publishedAt, signal, ...rest } = seen[1] as ProcessContext;
    assert.ok(publishedAt.getTime() >= before && signal instanceof AbortSignal);
    assert.deepEqual(rest, { operation: "process", via: "receive", group: "default", attempt: 1, ...common });
  });

  for (const [name, make] of backends) {
    it(`may change body, content type and headers on ${name}`, { timeout }, async () => {
      const logger = new RecordingLogger();
      const mq = new MessageQueue(make(), { logger, codecs: [flipped] });
      mq.use(async (context, next) => {
        if (context.operation === "publish") {
          context.body = flipped.encode({ wrapped: JSON.parse(context.body as string) });
          context.contentType = flipped.contentType;
          context.headers["out"] = "1";
        } else {
          assert.equal(context.contentType, flipped.contentType);
          const { wrapped } = flipped.decode(context.body as Uint8Array) as { wrapped: unknown };
          context.body = JSON.stringify({ wrapped, back: true });
          context.contentType = "application/json";
          context.headers["in"] = context.via;
        }
        await next();
      });
      await mq.publishMany([{ key: "k", payload: { a: 1 } }, { key: "k", payload: { a: 2 } }]);
      const delivery = await received(mq);
      assert.deepEqual(delivery.payload, { wrapped: { a: 1 }, back: true });
      assert.deepEqual({ ...delivery.headers }, { out: "1", in: "receive" });
      await delivery.ack();
      const payloads = mq.consume();
      assert.deepEqual((await payloads.next()).value, { wrapped: { a: 2 }, back: true });
      await mq.publish("k", { a: 3 });
      assert.deepEqual((await payloads.next()).value, { wrapped: { a: 3 }, back: true });
      await payloads.return?.();
      await mq.close();
    });
  }

  it("runs the handler within, so that async context reaches it", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    const storage = new AsyncLocalStorage<string>();
    mq.use(only("process", (context, next) => storage.run(context.id, next)));
    const id = await mq.publish("k", {});
    const seen: (string | undefined)[] = [];
    await using _subscription = await mq.subscribe(() => void seen.push(storage.getStore()), { timeoutMs: 20_000 });
    await until(() => seen.length === 1);
    assert.deepEqual(seen, [id]);
  });

  it("wraps what a loop does with a message until it is settled", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    const notes: string[] = [];
    mq.use(only("process", noting(notes, "m")));
    for (const i of [1, 2, 3, 4, 5]) await mq.publish("k", { i });
    const payloads = mq.consume<{ i: number }>();
    assert.deepEqual((await payloads.next()).value, { i: 1 });
    assert.deepEqual(notes.splice(0), ["m process"]);
    assert.deepEqual((await payloads.next()).value, { i: 2 });
    await until(() => notes.includes("m done"));
    await payloads.return?.();
    assert.deepEqual(notes.splice(0).sort(), ["m done", "m failed: It was given back", "m process"]);

    const deliveries = mq.receive<{ i: number }>();
    const take = async () => {
      const { value } = await deliveries.next();
      assert.ok(value);
      return value;
    };
    await (await take()).ack();
    await until(() => notes.includes("m done"));
    assert.deepEqual(notes.splice(0), ["m process", "m done"]);
    await (await take()).reject("bad");
    await until(() => notes.length === 2);
    assert.deepEqual(notes.splice(0), ["m process", "m failed: bad"]);
    await (await take()).nack({ reason: "later" });
    await until(() => notes.length === 2);
    assert.deepEqual(notes.splice(0), ["m process", "m failed: later"]);
    await take();
    await mq.close();
    assert.deepEqual(notes.splice(0), ["m process", "m failed: The consumer was closed"]);
  });

  it("holds for what comes after its use, in consumers that run already", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    const seen: unknown[] = [];
    await using _subscription = await mq.subscribe((delivery) => void seen.push({ ...delivery.headers }));
    await mq.publish("k", {});
    await until(() => seen.length === 1);
    mq.use(only("process", (context, next) => {
      context.headers["late"] = "yes";
      return next();
    }));
    await mq.publish("k", {});
    await until(() => seen.length === 2);
    assert.deepEqual(seen, [{}, { late: "yes" }]);
  });

  it("refuses what is no function", { timeout }, () => {
    assert.throws(() => open().mq.use({} as Middleware), /Cannot use object: a middleware is a function/);
  });
});

describe("middleware around publishing", () => {
  it("stores nothing when one throws before next()", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    const notes: string[] = [];
    mq.use(noting(notes, "outer"));
    mq.use(only("publish", (context) => {
      if (context.key === "bad") throw new Error("no");
      throw new Error("unreachable");
    }));
    await assert.rejects(mq.publish("bad", {}), /^Error: no$/);
    assert.deepEqual(notes, ["outer publish", "outer failed: no"]);
    assert.equal((await mq.stats()).retained, 0);
  });

  it("stores all of a batch or nothing, and tells the others why", { timeout }, async () => {
    await using opened = open();
    const { mq, backend } = opened;
    const outcomes: unknown[] = [];
    mq.use(async (context, next) => {
      assert.equal(context.operation === "publish" && context.batchSize, 3);
      await next().then(() => outcomes.push("ok"), (error) => {
        outcomes.push(error.code);
        throw error;
      });
    });
    mq.use(async (context, next) => {
      if (context.key === "bad") throw new Error("no");
      await next();
    });
    const batch = ["a", "b", "c"].map((key) => ({ key, payload: {} }));
    const calls: number[] = [];
    backend.beforePublish = (messages) => void calls.push(messages.length);
    await mq.publishMany(batch);
    assert.deepEqual([calls, outcomes.splice(0)], [[3], ["ok", "ok", "ok"]]);
    await assert.rejects(mq.publishMany([...batch.slice(0, 2), { key: "bad", payload: {} }]), /^Error: no$/);
    assert.deepEqual([calls, outcomes.sort()], [[3], ["aborted_publish", "aborted_publish", undefined]]);
  });

  it("gives each message of a batch its own outcome", { timeout }, async () => {
    await using opened = open();
    const { mq, backend } = opened;
    const outcomes: Record<string, string> = {};
    mq.use(async (context, next) => {
      await next().then(() => outcomes[context.key] = "ok", (error) => outcomes[context.key] = String(error));
    });
    backend.beforePublish = () => {
      throw new PublishManyError(2, [{ index: 1, error: new Error("full") }]);
    };
    await assert.rejects(
      mq.publishMany([{ key: "a", payload: {} }, { key: "b", payload: {} }]),
      (error: PublishManyError) => error.failures.length === 1 && error.failures[0]?.index === 1,
    );
    assert.deepEqual(outcomes, { a: "ok", b: "Error: full" });
  });

  it("cannot make a lost message look stored", { timeout }, async () => {
    await using opened = open();
    const { mq, backend } = opened;
    mq.use(async (context, next) => {
      if (context.key !== "silent") await next().catch(() => {});
    });
    backend.beforePublish = () => {
      throw new MessageQueueError("storage", "disk full");
    };
    await assert.rejects(mq.publish("swallowed", {}), { code: "storage" });
    await assert.rejects(mq.publish("silent", {}), /did not call next\(\)/);
  });

  it("reports what is thrown after next(), though the message is stored", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    mq.use(async (_context, next) => {
      await next();
      throw new Error("afterwards");
    });
    await assert.rejects(mq.publish("k", {}), /afterwards/);
    assert.equal((await mq.stats()).retained, 1);
  });

  it("checks what a middleware made of the message", { timeout }, async () => {
    await using opened = open({ maxBodyBytes: 10 });
    const { mq } = opened;
    const changes: [(context: MiddlewareContext) => void, RegExp][] = [
      [(context) => context.headers["n"] = 1 as unknown as string, /number as header "n"/],
      [(context) => context.headers["abe-mq-content-type"] = "x", /reserved/],
      [(context) => context.body = "x".repeat(11), /maxBodyBytes allows 10/],
    ];
    let change = changes[0]?.[0];
    mq.use(async (context, next) => {
      change?.(context);
      await next().catch(() => {});
    });
    for (const [each, message] of changes) {
      change = each;
      await assert.rejects(mq.publish("k", {}), message);
    }
    const other = open().mq;
    other.use((_context, next) => Promise.all([next(), next()]).then(() => {}));
    await assert.rejects(other.publish("k", {}), /next\(\) twice/);
  });

  it("is waited for by close, and not beyond the caller's signal", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    const gates: (() => void)[] = [];
    mq.use(only("publish", async (_context, next) => {
      await new Promise<void>((resolve) => gates.push(resolve));
      await next();
    }));
    const controller = new AbortController();
    const aborted = mq.publish("k", {}, { signal: controller.signal });
    const waiting = mq.publish("k", {});
    await until(() => gates.length === 2);
    controller.abort(new Error("enough"));
    await assert.rejects(aborted, /enough/);
    const closing = mq.close();
    for (const gate of gates) gate();
    assert.match(await waiting, /^[0-9a-f-]{36}$/);
    await closing;
  });
});

describe("middleware around handling", () => {
  it("makes a failure that the retry policy decides on", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    let handled = 0;
    mq.use(only("process", async (context, next) => {
      if ((context as ProcessContext).attempt === 1) throw new Error("before");
      await next();
      if ((context as ProcessContext).attempt === 2) throw new Error("after");
    }));
    await mq.publish("k", {});
    const errors: string[] = [];
    await using subscription = await mq.subscribe(() => void handled++, {
      retry: () => 0,
      onError: (error) => void errors.push((error as Error).message),
    });
    await until(async () => (await mq.stats()).retained === 0);
    await subscription.drain();
    assert.deepEqual([errors, handled], [["before", "after"], 2]);
  });

  it("makes a dead letter of what nobody will ever read", { timeout }, async () => {
    for (const via of ["subscribe", "receive", "consume"] as const) {
      await using opened = open();
      const { mq } = opened;
      mq.use(only("process", (context, next) => {
        if (context.key === "k") return next();
        throw new MessageQueueError(context.key === "u" ? "undecodable" : "invalid_payload", `no ${context.key}`);
      }));
      for (const key of ["u", "i", "k"]) await mq.publish(key, {});
      const seen: string[] = [];
      if (via === "subscribe") {
        await using subscription = await mq.subscribe((delivery) => void seen.push(delivery.key));
        await until(() => seen.length === 1);
        await subscription.drain();
      } else if (via === "receive") seen.push((await received(mq)).key);
      else assert.deepEqual((await mq.consume().next()).value, {});
      assert.deepEqual(await letters(mq), [["u", "undecodable", "no u"], ["i", "invalid", "no i"]], via);
    }
  });

  it("leaves the same error, thrown by the handler, to the retry policy", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    mq.use((_context, next) => next());
    await mq.publish("k", {});
    const attempts: number[] = [];
    await using subscription = await mq.subscribe((delivery) => {
      attempts.push(delivery.attempt);
      if (delivery.attempt < 3) throw new MessageQueueError("invalid_payload", "of another message");
    }, { retry: () => 0 });
    await until(() => attempts.length === 3);
    await subscription.drain();
    assert.deepEqual(await letters(mq), []);
  });

  it("tries again in a loop what one failed before it, up to the group's attempts", { timeout }, async () => {
    await using opened = open();
    const { mq, logger } = opened;
    await mq.groups.create("default", { maxAttempts: 3 });
    mq.use(only("process", (context, next) => {
      if (context.key === "bad") throw new Error("no key");
      return next();
    }));
    await mq.publish("bad", {});
    await mq.publish("k", {});
    assert.equal((await received(mq)).key, "k");
    const rest = mq.receive().next();
    await until(async () => (await letters(mq)).length === 1);
    assert.deepEqual(await letters(mq), [["bad", "exhausted", "no key"]]);
    assert.equal(logger.lines.filter((line) => /failed in a middleware/.test(line)).length, 3);
    await mq.close();
    await rest;
  });

  it("may handle a message itself, which is then acked", { timeout }, async () => {
    for (const via of ["subscribe", "receive"] as const) {
      await using opened = open();
      const { mq } = opened;
      mq.use(only("process", async (context, next) => {
        if (context.key === "swallow") return await next().catch(() => {});
        if (context.key !== "skip") await next();
      }));
      for (const key of ["skip", "skip", "k"]) await mq.publish(key, {});
      const seen: string[] = [];
      if (via === "subscribe") {
        await mq.publish("swallow", {});
        await using subscription = await mq.subscribe((delivery) => {
          seen.push(delivery.key);
          if (delivery.key === "swallow") throw new Error("known");
        });
        await until(() => seen.length === 2);
        await subscription.drain();
        assert.deepEqual(seen, ["k", "swallow"]);
      } else {
        const delivery = await received(mq);
        assert.equal(delivery.key, "k");
        await delivery.ack();
      }
      await until(async () => (await mq.stats()).retained === 0);
    }
  });

  it("keeps the lease of what it works on, and gives it back when the loop ends", { timeout }, async () => {
    await using opened = open();
    const { mq, backend } = opened;
    let release = () => {};
    const gate = new Promise<void>((resolve) => release = resolve);
    mq.use(only("process", async (_context, next) => {
      await gate;
      await next();
    }));
    await mq.publish("k", {});
    const iterator = mq.receive({ leaseMs: 100 });
    const next = iterator.next();
    await until(() => backend.extensions >= 3);
    assert.equal((await mq.stats()).groups.default?.inFlight, 1);
    const ended = iterator.return?.();
    release();
    assert.equal((await next).done, true);
    await ended;
    await until(async () => (await mq.stats()).groups.default?.ready === 1);
    await until(() => backend.openReceivers === 0);
    const { value } = await mq.receive().next();
    assert.equal(value?.attempt, 1);
    await mq.close();
  });

  it("hands over to several that wait at once, in order", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    mq.use(only("process", async (_context, next) => await next()));
    const iterator = mq.receive<{ i: number }>();
    const nexts = [1, 2, 3, 4].map(() => iterator.next());
    for (const i of [1, 2, 3, 4]) await mq.publish("k", { i });
    const got = await Promise.all(nexts);
    assert.deepEqual(got.map(({ value }) => value?.payload.i), [1, 2, 3, 4]);
    await mq.close();
  });
});
