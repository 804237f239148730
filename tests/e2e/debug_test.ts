import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { describe, it } from "node:test";
import { run, runtimeCommand, thisRuntime } from "../process.ts";

const timeout = 60_000;
const app = fileURLToPath(new URL("../plugins/fixtures/app.ts", import.meta.url));

async function start(env: Record<string, string>): Promise<string> {
  const result = await run(runtimeCommand(thisRuntime, app, {
    env: {
      MESSAGE_QUEUE_BACKEND: "memory",
      ABSTRACT_BACKEND_DEBUG: undefined,
      MESSAGE_QUEUE_BACKEND_DEBUG: undefined,
      ...env,
    },
  }));
  assert.equal(result.code, 0, result.output);
  return result.stderr;
}

describe("debug logging", () => {
  it("is silent unless asked for", { timeout }, async () => {
    assert.equal(await start({}), "");
    assert.equal(await start({ ABSTRACT_BACKEND_DEBUG: "0", MESSAGE_QUEUE_BACKEND_DEBUG: "" }), "");
  });

  it("tells of everything by ABSTRACT_BACKEND_DEBUG, and never of a payload", { timeout }, async () => {
    const lines = await start({ ABSTRACT_BACKEND_DEBUG: "1" });
    assert.match(lines, /debug: The backend comes from/);
    assert.match(lines, /debug: Joined group "default"/);
    assert.match(lines, /debug: Memory: a receiver of group "default"/);
    assert.doesNotMatch(lines, /"id"/);
  });

  it("tells of the backend alone by MESSAGE_QUEUE_BACKEND_DEBUG", { timeout }, async () => {
    const lines = await start({ MESSAGE_QUEUE_BACKEND_DEBUG: "true" });
    assert.match(lines, /debug: Memory:/);
    assert.doesNotMatch(lines, /Joined group|comes from/);
  });
});
