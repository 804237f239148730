import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as std from "@std/assert";
import { deadline, delay } from "@std/async";
import { parse } from "@std/dotenv";

const timeout = 60_000;

describe("the names by which programs import", () => {
  it("lead to this repository on each runtime", { timeout }, async () => {
    assert.equal((await import("@abe/mq")).MessageQueue, (await import("../mod.ts")).MessageQueue);
    assert.equal((await import("@abe/mq/memory")).default, (await import("../backends/memory.ts")).default);
  });
});

// Deno runs these on the packages themselves where JSR answers, so the stand-ins are held to what those do.
describe("@std, or its stand-ins", () => {
  it("asserts", { timeout }, async () => {
    std.assert(true);
    std.assertEquals({ a: [1, new Date(0)] }, { a: [1, new Date(0)] });
    assert.throws(() => std.assertEquals({ a: 1 }, { a: 2 } as { a: number }), std.AssertionError);
    assert.equal(std.assertThrows(() => JSON.parse("{"), SyntaxError).name, "SyntaxError");
    assert.throws(() => std.assertThrows(() => 1, Error), std.AssertionError);
    const error = await std.assertRejects(() => Promise.reject(new TypeError("not so")), TypeError, "not");
    assert.equal(error.message, "not so");
    await assert.rejects(std.assertRejects(() => Promise.reject(new TypeError("so")), TypeError, "not"));
    await assert.rejects(std.assertRejects(() => Promise.resolve(1), Error), std.AssertionError);
  });

  it("waits, and stops waiting", { timeout }, async () => {
    await delay(1);
    const stopped = new Error("stopped");
    await assert.rejects(delay(60_000, { signal: AbortSignal.abort(stopped) }), stopped);
    const controller = new AbortController();
    const waiting = assert.rejects(delay(60_000, { signal: controller.signal }), stopped);
    controller.abort(stopped);
    await waiting;
    assert.equal(await deadline(Promise.resolve(1), 60_000), 1);
    await assert.rejects(deadline(new Promise(() => {}), 1), { name: "TimeoutError" });
  });

  it("reads variables", { timeout }, () => {
    const text = `# a comment
A=1
export B = two words # and a comment
C='single # quoted'
D="double\\nquoted"
EMPTY=
`;
    assert.deepEqual({ ...parse(text) }, {
      A: "1",
      B: "two words",
      C: "single # quoted",
      D: "double\nquoted",
      EMPTY: "",
    });
  });
});
