// Run by suites_test.ts alone: some tests pass, one fails, one is skipped.
import assert from "node:assert/strict";
import { describe, it, test } from "node:test";

test("passes at the top", { timeout: 5_000 }, () => {});

describe("outer", () => {
  it("passes", { timeout: 5_000 }, () => {});
  it('fails <with> "odd" & text', { timeout: 5_000 }, () => assert.equal(1, 2, "one is not two"));
  it("is skipped", { skip: true }, () => {});
  describe("inner", () => {
    it("passes", { timeout: 5_000 }, () => {});
  });
});
