import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { checkFilter, checkKey, checkName, compileFilter, maxKeyLength } from "../../core/keys.ts";

const timeout = 60_000;

// AMQP's rules as they stand in the specification, word by word and without any cleverness.
function naive(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return words.length === 0;
  if (first === "#") return naive(rest, words) || (words.length > 0 && naive(pattern, words.slice(1)));
  return words.length > 0 && (first === "*" || first === words[0]) && naive(rest, words.slice(1));
}

// Few different words, so that matches are common.
const word = fc.constantFrom("a", "b", "order", "é", "*x", "1", "__proto__");
const key = fc.array(word, { minLength: 1, maxLength: 7 });
const filter = fc.array(fc.oneof(word, fc.constantFrom("*", "#")), { minLength: 1, maxLength: 6 });

describe("compileFilter", () => {
  it("agrees with a naive matcher", { timeout }, () => {
    fc.assert(
      fc.property(filter, key, (pattern, words) => {
        assert.equal(compileFilter(pattern.join("."))(words.join(".")), naive(pattern, words));
      }),
      { numRuns: 5_000 },
    );
  });

  it("matches what was made to match", { timeout }, () => {
    const filled = fc.array(
      fc.oneof(
        word.map((each) => ({ pattern: each, words: [each] })),
        word.map((each) => ({ pattern: "*", words: [each] })),
        fc.array(word, { maxLength: 3 }).map((words) => ({ pattern: "#", words })),
      ),
      { minLength: 1, maxLength: 6 },
    ).filter((parts) => parts.some(({ words }) => words.length > 0));
    fc.assert(
      fc.property(filled, (parts) => {
        const matches = compileFilter(parts.map(({ pattern }) => pattern).join("."));
        assert.ok(matches(parts.flatMap(({ words }) => words).join(".")));
      }),
      { numRuns: 2_000 },
    );
  });

  it("knows the examples of AMQP", { timeout }, () => {
    const table: [string, string[], string[]][] = [
      ["#", ["a", "a.b", "a.b.c"], []],
      ["*", ["a"], ["a.b"]],
      ["*.stock.#", ["usd.stock", "eur.stock.db"], ["stock.nasdaq", "stock"]],
      ["order.#", ["order", "order.created", "order.created.eu"], ["orders", "user.order"]],
      ["#.eu", ["eu", "order.eu", "a.b.eu"], ["eu.a", "order.us"]],
      ["order.*.eu", ["order.created.eu"], ["order.eu", "order.a.b.eu"]],
      ["order.created", ["order.created"], ["order.create", "order.created.x"]],
    ];
    for (const [pattern, matching, others] of table) {
      const matches = compileFilter(pattern);
      for (const each of matching) assert.ok(matches(each), `${pattern} must match ${each}`);
      for (const each of others) assert.ok(!matches(each), `${pattern} must not match ${each}`);
    }
  });

  it("needs no exponential time for many hashes", { timeout }, () => {
    const matches = compileFilter("#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.a.#.b");
    assert.equal(matches(Array.from({ length: 100 }, () => "a").join(".")), false);
  });

  it("takes words with `*` and `#` inside for themselves", { timeout }, () => {
    assert.ok(compileFilter("a*.#b")("a*.#b"));
    assert.ok(!compileFilter("a*.b")("ax.b"));
  });

  it("refuses what is no pattern", { timeout }, () => {
    for (const bad of ["", ".", "a.", ".a", "a..b", "#..#"]) assert.throws(() => compileFilter(bad), TypeError, bad);
  });
});

describe("checkKey", () => {
  it("takes words joined by dots", { timeout }, () => {
    for (const good of ["a", "order.created", "ä.ö", "a b.c", "*.#", "😀", "x".repeat(maxKeyLength)]) checkKey(good);
  });

  it("refuses bad keys and says what is wrong", { timeout }, () => {
    const table: [string, RegExp][] = [
      ["", /empty/],
      [".", /between the dots is empty/],
      ["a.", /between the dots is empty/],
      [".a", /between the dots is empty/],
      ["a..b", /between the dots is empty/],
      ["x".repeat(maxKeyLength + 1), /256 characters: the limit is 255/],
      ["a\nb", /control character/],
      ["a\u0000", /control character/],
      ["a\u007f", /control character/],
      ["a\ud800", /surrogate/],
    ];
    for (const [bad, message] of table) {
      const refused = (error: unknown) => error instanceof TypeError && message.test(error.message);
      assert.throws(() => checkKey(bad), refused, JSON.stringify(bad));
      assert.throws(() => checkFilter(bad), refused, JSON.stringify(bad));
    }
  });

  it("refuses what is no string", { timeout }, () => {
    for (const bad of [undefined, null, 1, {}, ["a"]]) {
      assert.throws(() => checkKey(bad as unknown as string), /must be a string/);
    }
  });

  it("never takes a key that splits into an empty word", { timeout }, () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
        let taken = true;
        try {
          checkKey(text);
        } catch (error) {
          assert.ok(error instanceof TypeError);
          taken = false;
        }
        if (!taken) return;
        assert.ok(text.length <= maxKeyLength);
        assert.ok(text.split(".").every((each) => each !== ""));
        assert.ok(compileFilter("#")(text));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("checkName", () => {
  it("names what was wrong", { timeout }, () => {
    assert.throws(() => checkName("group", ""), /Cannot use an empty group/);
    assert.throws(() => checkName("id", "a\tb"), /as id: it holds a control character/);
    checkName("group", "a..b"); // dots mean nothing in a name
  });
});
