import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { z } from "zod";
import { toAsyncApi } from "@abe/mq/asyncapi";
import { defineTopics } from "../../mod.ts";
import { run, runtimeCommand } from "../process.ts";

const timeout = 120_000;

const topics = defineTopics({
  "order.created": z.object({ id: z.number(), at: z.string(), lines: z.array(z.object({ sku: z.string() })) }),
  "order.paid": {
    schema: z.object({ id: z.number(), cents: z.int() }),
    version: 2,
    description: "Money came in",
    upgrade: { 1: (payload) => payload },
  },
  "order/paid": z.object({}),
  "order_paid": z.object({}),
});

/** What AsyncAPI's own parser, which is made for Node, says of a document. */
async function problems(document: unknown): Promise<unknown[]> {
  const command = runtimeCommand("node", "tests/core/async_api_parse.ts");
  const result = await run(command, { input: JSON.stringify(document), timeoutMs: timeout });
  assert.equal(result.code, 0, result.output);
  return JSON.parse(result.stdout);
}

describe("toAsyncApi", () => {
  it("makes a document that AsyncAPI's own parser accepts", { timeout }, async () => {
    const document = toAsyncApi(topics, {
      title: "Shop",
      version: "1.0.0",
      description: "Orders",
      sends: ["order.created"],
    });
    assert.deepEqual(await problems(document), []);
    // It does find what is wrong.
    const broken = { ...document, operations: { oops: { action: "shout", channel: { $ref: "#/channels/none" } } } };
    assert.notDeepEqual(await problems(broken), []);
  });

  it("says what is in the topics", { timeout }, () => {
    const document = toAsyncApi(topics, { title: "Shop", version: "1.0.0", sends: ["order.paid"], receives: [] });
    const { channels, operations, components } = document as Record<string, Record<string, Record<string, unknown>>>;
    assert.deepEqual(Object.values(channels ?? {}).map(({ address }) => address), [
      "order.created",
      "order.paid",
      "order/paid",
      "order_paid",
    ]);
    assert.deepEqual(Object.keys(channels ?? {}), ["order.created", "order.paid", "order_paid", "order_paid_2"]);
    assert.deepEqual(operations, {
      "send.order.paid": {
        action: "send",
        channel: { $ref: "#/channels/order.paid" },
        messages: [{ $ref: "#/channels/order.paid/messages/order.paid" }],
      },
    });
    const paid = (components?.["messages"] as Record<string, Record<string, Record<string, unknown>>>)["order.paid"];
    assert.equal(paid?.["summary"], "Money came in");
    assert.deepEqual((paid?.["headers"]?.["properties"] as Record<string, { const: string }>)["version"]?.const, "2");
    assert.deepEqual(Object.keys(paid?.["payload"]?.["properties"] ?? {}), ["id", "cents"]);
  });

  it("takes a writer for libraries that do not write schemas down, and asks for one", { timeout }, async () => {
    const plain = defineTopics({ a: v.object({ x: v.number() }) });
    assert.throws(
      () => toAsyncApi(plain, { title: "t", version: "1" }),
      /"a": its schema \(of valibot\).*toJsonSchema/,
    );
    const document = toAsyncApi(plain, {
      title: "t",
      version: "1",
      toJsonSchema: (schema, key) => ({ title: key, $comment: schema["~standard"].vendor, type: "object" }),
    });
    assert.match(JSON.stringify(document), /"payload":\{"title":"a","\$comment":"valibot","type":"object"\}/);
    assert.deepEqual(await problems(document), []);
    assert.throws(
      () => toAsyncApi(plain, { title: "t", version: "1", sends: ["b" as "a"], toJsonSchema: () => ({}) }),
      /there is no topic of this key/,
    );
  });
});
