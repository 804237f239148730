import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { z } from "zod";
import {
  defineTopics,
  InvalidPayloadError,
  MessageQueue,
  type MessageQueueBackend,
  MessageQueueError,
  type StandardSchema,
} from "../../mod.ts";
import { FaultyBackend, RecordingLogger, until } from "./fakes.ts";
import { backends } from "./stores.ts";

const timeout = 30_000;

const orderCreated = { id: 1, at: "2020-01-01T00:00:00.000Z" };

/** The same topics, by the schemas of two libraries. */
const libraries = {
  zod: defineTopics({
    "order.created": z.object({ id: z.number(), at: z.coerce.date<string>(), note: z.string().default("none") }),
    "order.paid": z.object({ id: z.number(), cents: z.number().int() }),
  }),
  valibot: defineTopics({
    "order.created": v.object({
      id: v.number(),
      at: v.pipe(v.string(), v.transform((text) => new Date(text))),
      note: v.optional(v.string(), "none"),
    }),
    "order.paid": v.object({ id: v.number(), cents: v.pipe(v.number(), v.integer()) }),
  }),
};

function open(
  backend: MessageQueueBackend = new FaultyBackend(),
): { mq: MessageQueue; logger: RecordingLogger } & AsyncDisposable {
  const logger = new RecordingLogger();
  const mq = new MessageQueue(backend, { logger, reconnect: () => 1 });
  return { logger, mq, [Symbol.asyncDispose]: () => mq.close() };
}

/** The compiler's opinion: `Equal<A, B>` is `true` only for the same types. */
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
function typed<_T extends true>(): void {}

async function letters(mq: MessageQueue): Promise<(string | undefined)[][]> {
  const { deadLetters } = await mq.deadLetters.list("default");
  return deadLetters.map(({ key, reason, error }) => [key, reason, error]);
}

describe("topics", () => {
  for (const [name, topics] of Object.entries(libraries)) {
    it(`go through schemas of ${name}, each way of taking them`, { timeout }, async () => {
      await using opened = open();
      const { mq } = opened;
      const orders = mq.with(topics);
      for (let i = 0; i < 3; i++) await orders.publish("order.created", orderCreated);
      await orders.publishMany([{ key: "order.paid", payload: { id: 1, cents: 5 }, headers: { h: "1" } }]);
      const at = new Date(orderCreated.at);

      const deliveries = orders.receive({ prefetch: 1 });
      const { value: delivery } = await deliveries.next();
      assert.ok(delivery?.key === "order.created");
      typed<Equal<typeof delivery.payload.at, Date>>();
      assert.deepEqual(delivery.payload, { id: 1, at, note: "none" });
      assert.equal(delivery.headers["version"], "1");
      await delivery.ack();
      await deliveries.return?.();

      const payloads = orders.consume({ prefetch: 1 });
      assert.deepEqual((await payloads.next()).value, { id: 1, at, note: "none" });
      assert.deepEqual((await payloads.next()).value, { id: 1, at, note: "none" });
      const { value } = await payloads.next();
      assert.deepEqual(value, { id: 1, cents: 5 });
      await payloads.return?.();

      const seen: unknown[] = [];
      await using subscription = await orders.subscribe((delivery) => {
        if (delivery.key === "order.paid") {
          typed<Equal<typeof delivery.payload.cents, number>>();
          seen.push(delivery.payload, delivery.headers["h"]);
        }
      });
      await until(() => seen.length === 2);
      await subscription.drain();
      assert.deepEqual(seen, [{ id: 1, cents: 5 }, "1"]);
    });

    it(`refuse at publish what a schema of ${name} does not accept, with its issues`, { timeout }, async () => {
      await using opened = open();
      const { mq } = opened;
      const orders = mq.with(topics);
      const wrong = { id: "secret", cents: 1.5 } as unknown as { id: number; cents: number };
      const refused = (error: InvalidPayloadError) => {
        assert.ok(error instanceof InvalidPayloadError && error instanceof MessageQueueError);
        assert.equal(error.code, "invalid_payload");
        assert.equal(error.issues.length, 2);
        assert.match(error.message, /^Cannot publish "order.paid": its payload is invalid \(2 issues\)$/);
        return true;
      };
      await assert.rejects(orders.publish("order.paid", wrong), refused);
      await assert.rejects(
        orders.publishMany([{ key: "order.created", payload: orderCreated }, { key: "order.paid", payload: wrong }]),
        refused,
      );
      assert.equal((await mq.stats()).retained, 0);
    });

    it(
      `bury what a schema of ${name} does not accept, with its issues, and deliver its neighbour`,
      { timeout },
      async () => {
        for (const via of ["receive", "consume", "subscribe"] as const) {
          await using opened = open();
          const { mq, logger } = opened;
          const orders = mq.with(topics);
          await mq.publish("order.paid", { id: "secret", cents: 1 });
          await mq.publish("order.unknown", {});
          await orders.publish("order.paid", { id: 2, cents: 2 });
          const seen: unknown[] = [];
          if (via === "receive") seen.push((await orders.receive().next()).value?.payload);
          else if (via === "consume") seen.push((await orders.consume().next()).value);
          else {
            await using subscription = await orders.subscribe((delivery) => void seen.push(delivery.payload));
            await until(() => seen.length === 1);
            await subscription.drain();
          }
          assert.deepEqual(seen, [{ id: 2, cents: 2 }]);
          const [invalid, unknown] = await letters(mq);
          assert.deepEqual(invalid?.slice(0, 2), ["order.paid", "invalid"]);
          const [, text, issues] = /^(.*?): (\[.*\])$/s.exec(invalid?.[2] ?? "") ?? [];
          assert.equal(text, 'Cannot take "order.paid": its payload is invalid (1 issue)');
          const [issue] = JSON.parse(issues ?? "");
          assert.deepEqual(issue.path, ["id"]);
          assert.match(issue.message, /number/);
          assert.deepEqual(unknown?.slice(0, 2), ["order.unknown", "invalid"]);
          assert.match(unknown?.[2] ?? "", /there is no topic of this key/);
          assert.doesNotMatch(logger.lines.join(), /secret/);
        }
      },
    );
  }

  for (const [name, make] of backends) {
    it(`go through ${name}`, { timeout }, async () => {
      await using opened = open(make());
      const { mq } = opened;
      const orders = mq.with(libraries.zod);
      await orders.publish("order.created", orderCreated);
      await orders.publish("order.paid", { id: 1, cents: 2 });
      const keys: string[] = [];
      for await (const delivery of orders.receive()) {
        keys.push(delivery.key);
        await delivery.ack();
        if (delivery.key === "order.paid") break;
      }
      assert.deepEqual(keys, ["order.created", "order.paid"]);
      await mq.close();
    });
  }

  it("are typed by a literal key", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    const orders = mq.with(libraries.zod);
    await orders.publish("order.paid", { id: 1, cents: 2 });
    const paid = orders.consume({ keys: "order.paid", group: "paid" });
    const { value } = await paid.next();
    typed<Equal<typeof value, { id: number; cents: number } | undefined>>();
    assert.equal(value?.cents, 2);
    const any = orders.receive({ keys: "order.*", group: "any" });
    const delivery = (await any.next()).value;
    typed<Equal<NonNullable<typeof delivery>["key"], "order.created" | "order.paid">>();
    const one = orders.receive({ keys: "order.paid", group: "one" });
    const only = (await one.next()).value;
    typed<Equal<NonNullable<typeof only>["key"], "order.paid">>();
    assert.equal(only?.payload.cents, 2);
    await using _subscription = await orders.subscribe((delivery) => {
      typed<Equal<typeof delivery.key, "order.created">>();
    }, { keys: "order.created", group: "created" });
    const misuses = () => {
      // @ts-expect-error: no such topic
      void orders.publish("order.lost", {});
      // @ts-expect-error: a string where a number is due
      void orders.publish("order.paid", { id: "1", cents: 2 });
      // @ts-expect-error: the payload of another topic
      void orders.publishMany([{ key: "order.paid", payload: orderCreated }]);
    };
    assert.equal(typeof misuses, "function");
    await mq.close();
  });

  it("upgrade older versions step by step", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    const old = mq.with(defineTopics({ paid: z.object({ euros: z.number() }) }));
    await old.publish("paid", { euros: 1 });
    // What was published before there were topics counts as version 1.
    await mq.publish("paid", { euros: 2 });
    const second = mq.with(defineTopics({ paid: { schema: z.object({ cents: z.number() }), version: 2 } }));
    await second.publish("paid", { cents: 300 });
    const topics = defineTopics({
      paid: {
        schema: z.object({ cents: z.number(), currency: z.string() }),
        version: 3,
        upgrade: {
          1: (payload) => ({ cents: (payload as { euros: number }).euros * 100 }),
          2: async (payload) => ({ ...payload, currency: "EUR" }),
        },
      },
    });
    const third = mq.with(topics);
    await third.publish("paid", { cents: 4, currency: "USD" });
    const seen: unknown[] = [];
    for await (const delivery of third.receive()) {
      seen.push([delivery.headers["version"], delivery.payload.cents, delivery.payload.currency]);
      await delivery.ack();
      if (seen.length === 4) break;
    }
    assert.deepEqual(seen, [["1", 100, "EUR"], [undefined, 200, "EUR"], ["2", 300, "EUR"], ["3", 4, "USD"]]);
    await mq.close();
  });

  it("bury what cannot be upgraded, and say why", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    const topics = defineTopics({
      a: {
        schema: z.object({ x: z.number() }),
        version: 4,
        upgrade: {
          1: () => {
            throw new Error("lost");
          },
          2: () => 5,
          3: (payload) => payload,
        },
      },
      b: { schema: z.object({}), version: 2 },
      c: { schema: z.object({ x: z.number() }).transform(({ x }) => x), version: 1 },
    });
    const send = (key: string, version: string) => mq.publish(key, { x: 1 }, { headers: { version } });
    for (const version of ["5", "x", "1.5", "0", "1", "2", "3"]) await send("a", version);
    await send("b", "1");
    await send("c", "1");
    await mq.with(topics).publish("a", { x: 2 });
    const seen: unknown[] = [];
    for await (const delivery of mq.with(topics).receive()) {
      seen.push(delivery.payload);
      await delivery.ack();
      if (seen.length === 2) break;
    }
    assert.deepEqual(seen, [{ x: 1 }, { x: 2 }]);
    const reasons = (await letters(mq)).map((
      [, reason, error],
    ) => [reason, /"message":"([^"]*)"/.exec(error ?? "")?.[1]]);
    assert.deepEqual(reasons, [
      ["invalid", "its version 5 is newer than 4"],
      ["invalid", "its version is no whole number from 1"],
      ["invalid", "its version is no whole number from 1"],
      ["invalid", "its version is no whole number from 1"],
      ["invalid", "the upgrade from version 1 failed: lost"],
      ["invalid", "the upgrade to version 3 made no object of it"],
      ["invalid", "nothing upgrades its version 1"],
      ["invalid", "the schema makes no object or array of it"],
    ]);
    await mq.close();
  });

  it("wait for a schema that takes its time, and try again when it breaks", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    let tries = 0;
    const slow: StandardSchema<{ n: number }> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: async (value) => {
          if (tries++ === 1) throw new Error("the network is down");
          await new Promise((resolve) => setTimeout(resolve, 1));
          return { value: value as { n: number } };
        },
      },
    };
    const numbers = mq.with(defineTopics({ n: slow }));
    await numbers.publish("n", { n: 1 });
    const { value } = await numbers.receive().next();
    assert.deepEqual([value?.payload.n, value?.attempt, tries], [1, 2, 3]);
    await mq.close();
  });

  it("refuse what is wrong when they are defined, and a header of their own", { timeout }, async () => {
    const schema = z.object({});
    assert.throws(() => defineTopics({ "a..b": schema }), /"a..b" as key/);
    assert.throws(() => defineTopics({ a: {} as unknown as typeof schema }), /does not follow Standard Schema 1/);
    assert.throws(() => defineTopics({ a: { schema, version: 0 } }), RangeError);
    assert.throws(() => defineTopics({ a: { schema, version: 2, upgrade: { 2: () => ({}) } } }), RangeError);
    assert.throws(
      () => defineTopics({ a: { schema, version: 2, upgrade: { 1: 1 as unknown as () => object } } }),
      /it is no function/,
    );
    await using opened = open();
    const { mq } = opened;
    await assert.rejects(
      mq.with(defineTopics({ a: schema })).publish("a", {}, { headers: { version: "9" } }),
      /the topic's version goes there/,
    );
    await assert.rejects(
      mq.with(defineTopics({ a: schema })).publish("constructor" as "a", {}),
      { code: "invalid_payload" },
    );
  });

  it("keep only the first issues of a payload that is wrong everywhere", { timeout }, async () => {
    await using opened = open();
    const { mq } = opened;
    const orders = mq.with(defineTopics({ many: z.array(z.number()) }));
    await mq.publish("many", Array.from({ length: 1_000 }, () => "x"));
    await orders.publish("many", [1]);
    assert.deepEqual((await orders.receive().next()).value?.payload, [1]);
    const [[, , error = ""] = []] = await letters(mq);
    assert.match(error, /1000 issues/);
    assert.ok(error.length < 3_000, `${error.length}`);
    await mq.close();
  });
});
