import assert from "node:assert/strict";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { ConfigError, describeError, isRetryable, MessageQueueError, PublishManyError } from "../../core/errors.ts";

const timeout = 30_000;

// The same module once more, as when a plugin brings its own copy of the package.
async function otherCopy(): Promise<typeof import("../../core/errors.ts")> {
  const folder = await mkdtemp(join(tmpdir(), "abe-mq-copy-"));
  try {
    const path = join(folder, "errors.ts");
    await copyFile(new URL("../../core/errors.ts", import.meta.url), path);
    return await import(pathToFileURL(path).href);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe("MessageQueueError", () => {
  it("carries its code, name, cause and whether to try again", { timeout }, () => {
    const cause = new Error("socket closed");
    const error = new MessageQueueError("connection", "Cannot publish", { cause, retryable: true });
    assert.equal(error.code, "connection");
    assert.equal(error.name, "MessageQueueError");
    assert.equal(error.message, "Cannot publish");
    assert.equal(error.cause, cause);
    assert.equal(error.retryable, true);
    assert.ok(error instanceof Error && error instanceof MessageQueueError);
  });

  it("has no cause and is not tried again unless told", { timeout }, () => {
    const error = new MessageQueueError("full", "Cannot publish");
    assert.equal("cause" in error, false);
    assert.equal(error.retryable, false);
  });

  it("is known by errors of another copy of the package", { timeout }, async () => {
    const copy = await otherCopy();
    assert.notEqual(copy.MessageQueueError, MessageQueueError);
    const error = new copy.ConfigError(["A is missing"]);
    assert.ok(error instanceof MessageQueueError);
    assert.ok(error instanceof ConfigError);
    assert.ok(!(error instanceof PublishManyError));
    assert.ok(new copy.PublishManyError(1, []) instanceof PublishManyError);
    assert.ok(!(new copy.MessageQueueError("full", "Full") instanceof ConfigError));
  });

  it("does not take other things for itself", { timeout }, () => {
    for (const other of [new Error("x"), new TypeError("x"), null, undefined, "x", { code: "full" }]) {
      assert.equal((other as unknown) instanceof MessageQueueError, false);
    }
  });

  it("lets a subclass claim only its own", { timeout }, () => {
    class Special extends MessageQueueError {}
    const special: unknown = new Special("full", "Full");
    const plain: unknown = new MessageQueueError("full", "Full");
    assert.ok(special instanceof Special && special instanceof MessageQueueError);
    assert.ok(!(plain instanceof Special));
  });
});

describe("ConfigError", () => {
  it("puts a single problem on one line and several on one each", { timeout }, () => {
    assert.equal(new ConfigError(["A is missing"]).message, "Cannot use these settings: A is missing");
    const error = new ConfigError(["A is missing", "B is wrong"]);
    assert.equal(error.message, "Cannot use these settings\n- A is missing\n- B is wrong");
    assert.deepEqual(error.problems, ["A is missing", "B is wrong"]);
    assert.equal(error.code, "config");
    assert.equal(error.name, "ConfigError");
  });
});

describe("PublishManyError", () => {
  const lost = new MessageQueueError("connection", "Cannot send", { retryable: true });

  it("names how many, and the first", { timeout }, () => {
    const error = new PublishManyError(3, [{ index: 1, error: new Error("refused") }]);
    assert.match(error.message, /1 of 3 messages; the first, at index 1: refused/);
    assert.equal(error.code, "partial_publish");
    assert.equal(error.failures.length, 1);
  });

  it("is tried again only when nothing was stored and all failures are", { timeout }, () => {
    const failure = (index: number, error: unknown) => ({ index, error });
    assert.equal(new PublishManyError(2, [failure(0, lost), failure(1, lost)]).retryable, true);
    assert.equal(new PublishManyError(2, [failure(0, lost)]).retryable, false);
    assert.equal(new PublishManyError(2, [failure(0, lost), failure(1, new Error("full"))]).retryable, false);
  });
});

describe("isRetryable", () => {
  it("is what the error says, and never for other errors", { timeout }, () => {
    assert.equal(isRetryable(new MessageQueueError("connection", "x", { retryable: true })), true);
    assert.equal(isRetryable(new MessageQueueError("connection", "x")), false);
    assert.equal(isRetryable(Object.assign(new Error("x"), { retryable: true })), false);
    assert.equal(isRetryable(undefined), false);
  });
});

describe("describeError", () => {
  it("is the message, or the name, or the value", { timeout }, () => {
    assert.equal(describeError(new Error("broken")), "broken");
    assert.equal(describeError(new TypeError("")), "TypeError");
    assert.equal(describeError("text"), "text");
    assert.equal(describeError(undefined), "undefined");
  });
});
