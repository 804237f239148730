// Run by suites_test.ts alone: it never ends.
import { test } from "node:test";

test("hangs", { timeout: 600_000 }, async () => {
  const timer = setInterval(() => {}, 1_000);
  await new Promise(() => {});
  clearInterval(timer);
});
