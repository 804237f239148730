/** A test that fails the first time: when its mark is not there yet. */

import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";
import { it } from "node:test";

const mark = process.env["GATE_SAMPLE_MARK"] ?? "";

it("fails once", () => {
  const second = existsSync(mark);
  writeFileSync(mark, "");
  assert.ok(second);
});
