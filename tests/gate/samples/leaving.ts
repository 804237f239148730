// Run by suites_test.ts alone: it passes, but a process that it started lives on.
import { spawn } from "node:child_process";
import { test } from "node:test";

test("passes", { timeout: 30_000 }, () => {
  spawn("sleep", ["60"], { stdio: "ignore" }).unref();
});
