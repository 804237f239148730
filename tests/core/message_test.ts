import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createMessage, decodePayload, encodePayload, exponentialBackoff } from "../../mod.ts";

const timeout = 30_000;

describe("encodePayload", () => {
  it("round-trips whatever JSON can hold", { timeout }, () => {
    fc.assert(
      fc.property(fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.array(fc.jsonValue())), (payload) => {
        assert.deepEqual(decodePayload(encodePayload(payload)), JSON.parse(JSON.stringify(payload)));
      }),
    );
  });

  it("makes of a Date what a broker would", { timeout }, () => {
    const at = new Date(0);
    assert.deepEqual(decodePayload(encodePayload({ at, gone: undefined })), { at: "1970-01-01T00:00:00.000Z" });
  });

  it("refuses what is not JSON, with the reason", { timeout }, () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const cases: [unknown, RegExp][] = [
      [undefined, /Cannot publish undefined/],
      [null, /Cannot publish null/],
      ["text", /Cannot publish string/],
      [1, /Cannot publish number/],
      [10n, /Cannot publish bigint/],
      [() => {}, /Cannot publish function/],
      [{ big: 10n }, /BigInt/],
      [cycle, /not JSON/],
      [new Date(0), /Cannot publish a Date/],
      [{ toJSON: () => undefined }, /no object or array/],
    ];
    for (const [payload, message] of cases) {
      assert.throws(() => encodePayload(payload as object), (error: Error & { code?: string }) => {
        assert.equal(error.code, "invalid_payload");
        assert.match(error.message, message);
        return true;
      });
    }
  });
});

describe("decodePayload", () => {
  it("takes a member named __proto__ for data", { timeout }, () => {
    const payload = decodePayload('{"__proto__":{"polluted":true},"constructor":1}') as Record<string, unknown>;
    assert.deepEqual(Object.keys(payload), ["__proto__", "constructor"]);
    assert.equal(Object.getPrototypeOf(payload), Object.prototype);
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
    assert.equal(encodePayload(payload), '{"__proto__":{"polluted":true},"constructor":1}');
  });

  it("refuses what is no object or array, without quoting it", { timeout }, () => {
    for (const body of ["", "{secret", "1", '"secret"', "null"]) {
      assert.throws(() => decodePayload(body), (error: Error & { code?: string; cause?: unknown }) => {
        assert.equal(error.code, "undecodable");
        assert.doesNotMatch(`${error.message} ${error.cause}`, /secret/);
        return true;
      });
    }
  });
});

describe("createMessage", () => {
  it("gives an id, a time and no delay by itself", { timeout }, () => {
    const before = Date.now();
    const message = createMessage("a.b", { x: 1 });
    assert.match(message.id, /^[0-9a-f-]{36}$/);
    assert.ok(message.publishedAt >= before && message.publishedAt <= Date.now());
    assert.deepEqual([message.body, message.headers, message.deduplicate], ['{"x":1}', {}, false]);
    assert.equal("deliverAt" in message, false);
  });

  it("keeps what it is given, apart from the caller's objects", { timeout }, () => {
    const headers = { a: "1", ["__proto__"]: "data" };
    const message = createMessage("k", {}, { id: "mine", headers, orderingKey: "o" });
    headers.a = "2";
    assert.equal(message.headers.a, "1");
    assert.deepEqual(Object.keys(message.headers), ["a", "__proto__"]);
    assert.deepEqual([message.id, message.deduplicate, message.orderingKey], ["mine", true, "o"]);
  });

  it("takes a delay, a date or a time, and none that has passed", { timeout }, () => {
    const now = Date.now();
    assert.ok((createMessage("k", {}, { delayMs: 5_000 }).deliverAt ?? 0) >= now + 5_000);
    assert.equal(createMessage("k", {}, { deliverAt: new Date(now + 60_000) }).deliverAt, now + 60_000);
    assert.equal(createMessage("k", {}, { deliverAt: now + 60_000 }).deliverAt, now + 60_000);
    assert.equal(createMessage("k", {}, { deliverAt: now - 1 }).deliverAt, undefined);
    assert.equal(createMessage("k", {}, { delayMs: 0 }).deliverAt, undefined);
  });

  it("refuses what is wrong, naming it", { timeout }, () => {
    const future = Date.now() + 10_000;
    assert.throws(() => createMessage("a..b", {}), /"a..b" as key/);
    assert.throws(() => createMessage("k", {}, { delayMs: -1 }), /-1 as delayMs/);
    assert.throws(() => createMessage("k", {}, { delayMs: NaN }), RangeError);
    assert.throws(() => createMessage("k", {}, { deliverAt: new Date("never") }), RangeError);
    assert.throws(() => createMessage("k", {}, { deliverAt: future, delayMs: 1 }), /both delayMs and deliverAt/);
    assert.throws(() => createMessage("k", {}, { orderingKey: "o", delayMs: 1 }), /both orderingKey and a delay/);
    assert.throws(() => createMessage("k", {}, { orderingKey: "" }), /empty orderingKey/);
    assert.throws(() => createMessage("k", {}, { id: "\n" }), /control character/);
    assert.throws(() => createMessage("k", {}, { headers: { n: 1 as unknown as string } }), /number as header "n"/);
    assert.throws(() => createMessage("k", {}, { headers: { "": "x" } }), /without a name/);
  });
});

describe("exponentialBackoff", () => {
  it("stays within its bounds", { timeout }, () => {
    fc.assert(
      fc.property(
        fc.nat(10_000),
        fc.nat(100_000),
        fc.integer({ min: 1, max: 2_000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (baseMs, maxMs, attempt, random) => {
          const delay = exponentialBackoff({ baseMs, maxMs, random: () => random })(attempt);
          assert.ok(delay >= 0 && delay <= maxMs && (attempt > 1_000 || delay <= baseMs * 2 ** (attempt - 1)));
        },
      ),
    );
    assert.throws(() => exponentialBackoff({ baseMs: -1 }), RangeError);
    assert.throws(() => exponentialBackoff({ maxMs: NaN }), RangeError);
  });
});
