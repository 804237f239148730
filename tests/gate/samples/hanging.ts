// Run by suites_test.ts alone: as good as for ever, but gone by itself should nobody kill it.
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

test("hangs", { timeout: 600_000 }, () => sleep(60_000));
