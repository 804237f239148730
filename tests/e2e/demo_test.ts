import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { runDemo } from "../demo/demo.ts";
import { webhookEvents } from "../demo/webhooks.ts";
import { root, thisRuntime } from "../process.ts";

const timeout = 120_000;

/** The served backend, with one file changed. */
async function changed(file: string, from: string, to: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "abe-mq-demo-test-"));
  await cp(join(root, "examples/feed_plugin"), folder, { recursive: true });
  const text = await readFile(join(folder, file), "utf8");
  assert.ok(text.includes(from), `${file} has ${from}`);
  await writeFile(join(folder, file), text.replace(from, to));
  return folder;
}

describe("the demo", () => {
  it("loads its backend from a URL, and every real payload arrives as it was sent", { timeout }, async () => {
    const { ok, lines } = await runDemo(thisRuntime);
    const text = lines.join("\n");
    assert.ok(ok, text);
    const count = webhookEvents().length;
    assert.match(text, /mod\.ts \(3 files fetched\)/);
    assert.match(text, new RegExp(`Group audit +got ${count} `));
    assert.match(text, /Redelivered +[1-9]\d* after/);
  });

  it("runs on a built-in backend", { timeout }, async () => {
    const { ok, lines } = await runDemo(thisRuntime, { backend: "memory" });
    assert.ok(ok, lines.join("\n"));
  });

  it("fails when a payload is lost", { timeout }, async () => {
    const folder = await changed("group.ts", "if (matches(", "if (key !== 'github.star.created' && matches(");
    const { ok, lines } = await runDemo(thisRuntime, { folder, timeoutMs: 8_000 });
    assert.ok(!ok);
    assert.match(lines.join("\n"), /but 329 were to come/);
    await rm(folder, { recursive: true });
  });

  it("fails when a payload differs", { timeout }, async () => {
    const folder = await changed("mod.ts", "JSON.stringify(payload)", "JSON.stringify({ ...payload, action: 'x' })");
    const { ok } = await runDemo(thisRuntime, { folder });
    assert.ok(!ok);
    await rm(folder, { recursive: true });
  });

  it("fails with one clear message when its backend cannot be loaded", { timeout }, async () => {
    const { ok, lines } = await runDemo(thisRuntime, { backend: "memroy" });
    assert.ok(!ok);
    assert.match(lines.join("\n"), /memroy.*memory/s);
  });
});
