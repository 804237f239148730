/**
 * Promise 13: a second message with the application's id resolves and is not stored.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { ConformanceCase } from "../case.ts";
import { each, misuse, range, refused } from "./expect.ts";

/** The cases. */
export const deduplicationCases: readonly ConformanceCase[] = [
  {
    name: "a second message with the same id resolves and is not stored",
    promise: 13,
    needs: ["dedup", "receive"],
    async run(context) {
      const { a, b } = context;
      assert.equal(await a.publish("kit.message", { n: 1 }, { id: "one" }), "one");
      assert.equal(await b.publish("kit.message", { n: 2 }, { id: "one" }), "one");
      assert.equal(await b.publish("kit.message", { n: 3 }, { id: "two" }), "two");
      each(await context.rest(a), [1, 3], "each id once");
    },
  },
  {
    name: "of many publishes of one id at once, one is stored",
    promise: 13,
    needs: ["dedup", "receive"],
    async run(context) {
      const { a, b } = context;
      const ids = await Promise.all(
        range(50).map((n) => (n % 2 === 0 ? a : b).publish("kit.message", { n }, { id: `id-${n % 5}` })),
      );
      assert.deepEqual(ids, range(50).map((n) => `id-${n % 5}`));
      const rest = await context.rest(a);
      each(rest.map((n) => n % 5), range(5), "each of five ids once");
    },
  },
  {
    name: "an id is remembered after its message was acked",
    promise: 13,
    needs: ["dedup", "receive"],
    async run(context) {
      const { a, b } = context;
      await a.publish("kit.message", { n: 1 }, { id: "one" });
      each(await context.take(b, 1), [1], "the first");
      await a.publish("kit.message", { n: 2 }, { id: "one" });
      each(await context.rest(b), [], "the second");
    },
  },
  {
    name: "a batch drops what it holds twice and what is there already",
    promise: 13,
    needs: ["dedup", "receive"],
    async run(context) {
      const { a, b } = context;
      await a.publish("kit.message", { n: 0 }, { id: "zero" });
      const batch = ["one", "zero", "one", "two"].map((id, n) => ({ key: "kit.message", payload: { n: n + 1 }, id }));
      assert.deepEqual(await b.publishMany(batch), ["one", "zero", "one", "two"]);
      each(await context.rest(a), [0, 1, 4], "each id once");
    },
  },
  {
    name: "an id is known within its exchange only, and messages without one are never taken for doubles",
    promise: 13,
    needs: ["dedup", "receive"],
    async run(context) {
      const other = await context.open({ exchange: `${context.exchange}-other` });
      await context.a.publish("kit.message", { n: 1 }, { id: "one" });
      await other.publish("kit.message", { n: 2 }, { id: "one" });
      await context.a.publish("kit.message", { n: 3 });
      await context.a.publish("kit.message", { n: 3 });
      each(await context.rest(context.b), [1, 3, 3], "this exchange");
      each(await context.rest(other), [2], "the other exchange");
    },
  },
  {
    name: "ids of any kind of character are kept apart",
    promise: 13,
    needs: ["dedup", "receive"],
    async run(context) {
      const ids = ["a", "A", "ä", "a ", "a:b", "a*", "{a}", "a/b", "🦀", "x".repeat(255), "__proto__"];
      for (const [n, id] of ids.entries()) await context.a.publish("kit.message", { n }, { id });
      const deliveries = await context.receive(context.b, ids.length);
      for (const { id, payload } of deliveries) assert.equal(id, ids[payload.n]);
      each(deliveries.map(({ payload }) => payload.n), range(ids.length), "odd ids");
      for (const id of ["", "x".repeat(256), "line\nbreak"]) {
        await misuse(() => context.a.publish("kit.message", { n: 0 }, { id }), `id ${JSON.stringify(id)}`);
      }
    },
  },
  {
    name: "a delayed message is a double as well",
    promise: 13,
    needs: ["dedup", "delay", "receive"],
    async run(context) {
      const { a, b } = context;
      await a.publish("kit.message", { n: 1 }, { id: "late", delayMs: 200 });
      await b.publish("kit.message", { n: 2 }, { id: "late" });
      each(await context.take(b, 1), [1], "the delayed one");
      each(await context.rest(b), [], "the double");
    },
  },
  {
    name: "without deduplication, an id is refused",
    promise: 13,
    lacks: "dedup",
    how: "refused",
    async run(context) {
      await refused("unsupported", () => context.a.publish("kit.message", { n: 0 }, { id: "one" }), "id");
      each(await context.rest(context.a), [], "nothing was stored");
    },
  },
];
