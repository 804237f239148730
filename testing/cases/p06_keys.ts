/**
 * Promise 6: keys are words joined by dots, filters are AMQP topic patterns.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { ConformanceCase } from "../case.ts";
import type { KitPayload } from "../worker.ts";
import { each, misuse, range, refused } from "./expect.ts";

const keys = [
  "order",
  "order.made",
  "order.made.eu",
  "order.paid",
  "user",
  "user.made",
  "user.made.eu.de",
  "made",
  "a.order.made",
  "eu",
];

const filters = [
  "#",
  "*",
  "order",
  "order.*",
  "order.#",
  "*.made",
  "#.made",
  "#.eu",
  "*.*",
  "*.made.#",
  "#.made.#",
  "*.#.eu",
];

// By the words of the standard, and not by what the package does: each way to match, tried one by one.
function matches(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...others] = pattern;
  if (first === undefined) return words.length === 0;
  if (first === "#") return range(words.length + 1).some((skipped) => matches(others, words.slice(skipped)));
  if (words.length === 0) return false;
  return (first === "*" || first === words[0]) && matches(others, words.slice(1));
}

// Each is one key: none may be split, matched as a pattern, or taken for a command by a broker.
const oddKeys = [
  "zamówienie.złożone",
  "注文.作成",
  "🦀.🚀",
  "with space.and more",
  "{tag}.key",
  "a:b.c",
  "a*b.c#d",
  "*.#",
  'quo"te.back\\slash.sla/sh',
  "percent%20.plus+",
  "$SYS.>",
  "UPPER.lower",
  "-",
  "0",
  "__proto__.constructor",
  "k".repeat(255),
  `${"w.".repeat(100)}end`,
];

/** The cases. */
export const keyCases: readonly ConformanceCase[] = [
  {
    name: "filters match as AMQP topic patterns do",
    promise: 6,
    needs: ["keys", "groups", "receive"],
    async run(context) {
      const { a, b } = context;
      for (const [index, filter] of filters.entries()) await a.groups.create(`filter-${index}`, { keys: filter });
      for (const [n, key] of keys.entries()) await a.publish(key, { n });
      for (const [index, filter] of filters.entries()) {
        const wanted = range(keys.length).filter((n) => matches(filter.split("."), keys[n]?.split(".") ?? []));
        // What matches comes, and nothing else before the marker, whose key each of these filters matches somewhere.
        const marker = filter.replaceAll("#", "made.eu").replaceAll("*", "made");
        const markerKey = matches(filter.split("."), marker.split(".")) ? marker : "made";
        const seen = await context.rest(b, { group: `filter-${index}`, key: markerKey });
        each(seen, wanted, `keys that ${filter} matches`);
      }
    },
  },
  {
    name: "a key is first used while consuming",
    promise: 6,
    needs: ["keys", "receive"],
    async run(context) {
      const receiving = context.receive(context.b, 3, { keys: "new.#" });
      await context.publish(context.a, 1, { key: "old.key" });
      for (const n of range(3)) await context.a.publish(`new.key-${n}.${crypto.randomUUID()}`, { n });
      each((await receiving).map(({ payload }) => payload.n), range(3), "keys never used before");
    },
  },
  {
    name: "messages that a filter passes over hold up nothing",
    promise: 6,
    needs: ["keys", "groups"],
    async run(context) {
      const total = context.scaled(1_000);
      await context.publishAtOnce(context.a, total, { key: "noise.kind" });
      await context.publish(context.a, 2, { key: "signal.kind", from: total });
      each(await context.take(context.b, 2, { group: "picky", keys: "signal.*" }), range(2, total), "behind the noise");
    },
  },
  {
    name: "keys of any kind of character arrive as they were sent",
    promise: 6,
    needs: ["receive"],
    async run(context) {
      for (const [n, key] of oddKeys.entries()) await context.a.publish(key, { n });
      const deliveries = await context.receive(context.b, oddKeys.length);
      for (const { key, payload } of deliveries) assert.equal(key, oddKeys[payload.n]);
      each(deliveries.map(({ payload }) => payload.n), range(oddKeys.length), "odd keys");
    },
  },
  {
    name: "odd keys are matched by filters as themselves",
    promise: 6,
    needs: ["keys", "groups", "receive"],
    async run(context) {
      // As a filter `*` and `#` alone in a word are wild, so those keys have no filter of their own.
      const plain = oddKeys.filter((key) => !key.split(".").some((word) => word === "*" || word === "#"));
      await context.makeGroups(Object.fromEntries(plain.map((key, n) => [`odd-${n}`, key])));
      for (const [n, key] of plain.entries()) await context.a.publish(key, { n });
      for (const [n, key] of plain.entries()) {
        each(await context.take(context.b, 1, { group: `odd-${n}`, keys: key }), [n], JSON.stringify(key));
      }
    },
  },
  {
    name: "keys and filters that are none are refused",
    promise: 6,
    async run({ a, capabilities }) {
      for (const key of ["", ".", "a..b", ".a", "a.", "k".repeat(256), "line\nbreak", "nul\u0000", "half\ud800"]) {
        await misuse(() => a.publish(key, { n: 0 }), `key ${JSON.stringify(key)}`);
        if (capabilities.keys) await misuse(() => a.consume({ keys: key }).next(), `filter ${JSON.stringify(key)}`);
      }
    },
  },
  {
    name: "groups and exchanges of any kind of character are kept apart",
    promise: 6,
    needs: ["groups", "receive"],
    async run(context) {
      const names = ["grupa żółta", "a*b", "{x}:y", "a/b\\c", "a.b", "群", "A", "a"];
      await context.makeGroups(Object.fromEntries(names.map((name) => [name, undefined])));
      await context.publish(context.a, 1);
      for (const group of names) each(await context.take(context.b, 1, { group }), [0], `group ${group}`);
      const exchanges = ["x:y", "x*", "{x}", "x/y z", "ż"].map((name) => `${context.exchange} ${name}`);
      for (const [n, exchange] of exchanges.entries()) {
        await context.publish(await context.open({ exchange }), 1, { from: n });
      }
      for (const [n, exchange] of exchanges.entries()) {
        each(await context.rest(await context.open({ exchange })), [n], `exchange ${exchange}`);
      }
    },
  },
  {
    name: "without keys, a filter is refused",
    promise: 6,
    lacks: "keys",
    how: "refused",
    async run({ a }) {
      await refused("unsupported", () => a.consume({ keys: "order.*" }).next(), "consume");
      await refused("unsupported", () => a.receive({ keys: "order.*" }).next(), "receive");
      await refused("unsupported", () => a.subscribe<KitPayload>(() => {}, { keys: "order.*" }), "subscribe");
      await refused("unsupported", () => a.groups.create("orders", { keys: "order.*" }), "groups.create");
    },
  },
];
