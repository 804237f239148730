import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { envFrom, processEnv } from "../../core/env.ts";
import { root, run, runtimeCommand } from "../process.ts";

const timeout = 60_000;

describe("envFrom", () => {
  it("gives the values, and takes an empty one for unset", { timeout }, () => {
    const env = envFrom({ A: "1", B: "", C: undefined });
    assert.equal(env.get("A"), "1");
    assert.equal(env.getOptional("A"), "1");
    for (const name of ["B", "C", "D"]) assert.equal(env.get(name), undefined);
  });

  it("knows no inherited names", { timeout }, () => {
    for (const name of ["toString", "__proto__", "constructor"]) assert.equal(envFrom({}).get(name), undefined);
  });
});

describe("processEnv", () => {
  it("reads the variables of this process, and takes an empty one for unset", { timeout }, () => {
    process.env["ABE_MQ_TEST_VALUE"] = "1";
    process.env["ABE_MQ_TEST_EMPTY"] = "";
    try {
      assert.equal(processEnv.get("ABE_MQ_TEST_VALUE"), "1");
      assert.equal(processEnv.get("ABE_MQ_TEST_EMPTY"), undefined);
      assert.equal(processEnv.getOptional("ABE_MQ_TEST_EMPTY"), undefined);
      assert.equal(processEnv.get("ABE_MQ_TEST_UNSET"), undefined);
    } finally {
      delete process.env["ABE_MQ_TEST_VALUE"];
      delete process.env["ABE_MQ_TEST_EMPTY"];
    }
  });
});

// A program on Deno that may read one variable and not the other.
async function underDeno(expression: string): Promise<string> {
  const script = `import { processEnv } from ${JSON.stringify(new URL("../../core/env.ts", import.meta.url).href)};
    try { console.log(String(${expression})); } catch (error) { console.log(error.code + ": " + error.message); }`;
  const { command, args } = runtimeCommand("deno", `data:text/javascript,${encodeURIComponent(script)}`, {
    permissions: ["--allow-env=ABE_MQ_TEST_ALLOWED", `--allow-read=${root}`, "--allow-import"],
  });
  const env = { ABE_MQ_TEST_ALLOWED: "yes", ABE_MQ_TEST_DENIED: "hidden" };
  const { code, stdout, output } = await run({ command, args, env });
  assert.equal(code, 0, output);
  return stdout.trim();
}

describe("processEnv on Deno with permission for one name", () => {
  it("reads that name", { timeout }, async () => {
    assert.equal(await underDeno(`processEnv.get("ABE_MQ_TEST_ALLOWED")`), "yes");
  });

  it("refuses another and prints the flag that would allow it", { timeout }, async () => {
    const said = await underDeno(`processEnv.get("ABE_MQ_TEST_DENIED")`);
    assert.match(said, /^config: .*ABE_MQ_TEST_DENIED may not be read.*--allow-env=ABE_MQ_TEST_DENIED/);
  });

  it("does without another that is optional", { timeout }, async () => {
    assert.equal(await underDeno(`processEnv.getOptional("ABE_MQ_TEST_DENIED")`), "undefined");
  });
});
