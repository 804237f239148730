/**
 * Promise 14: settings are read by `fromEnv` alone, every problem is told at once, and no secret is.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ConfigError, envFrom } from "../../mod.ts";
import type { ConformanceCase } from "../case.ts";
import { failure, range } from "./expect.ts";

/** The cases. */
export const configurationCases: readonly ConformanceCase[] = [
  {
    name: "fromEnv tells every problem at once, names the variables and hides secrets",
    promise: 14,
    needs: ["environment"],
    async run({ harness: { environment } }) {
      assert.ok(environment !== undefined);
      const { module, wrong, secrets = [] } = environment;
      const error = await failure(() => module.fromEnv(envFrom(wrong)), "fromEnv with wrong variables");
      assert.ok(error instanceof ConfigError, `fromEnv must throw a ConfigError, not ${error}`);
      for (const name of Object.keys(wrong)) {
        assert.ok(error.problems.some((problem) => problem.includes(name)), `the error must name ${name}`);
      }
      const told = [error.message, String(error.cause ?? ""), ...error.problems].join("\n");
      for (const secret of secrets) assert.ok(!told.includes(secret), "the error must not tell a secret");
    },
  },
  {
    name: "no payload and no header reaches a log line",
    promise: 14,
    async run(context) {
      const secret = `secret-${crypto.randomUUID()}`;
      const headers = context.capabilities.leases ? { headers: { authorization: secret } } : {};
      for (const n of range(2)) await context.a.publish("kit.message", { n, secret }, headers);
      let failures = 0;
      const subscription = await context.b.subscribe(() => {
        if (failures++ === 0) throw new Error("failed once");
      }, { retry: () => 0 });
      await context.until(() => failures >= 3, "a failure and two successes");
      await context.within(subscription.drain(), "the drain");
      assert.ok(context.logged.length > 0, "the failure is logged");
      assert.deepEqual(context.logged.filter((line) => line.includes(secret)), []);
    },
  },
];
