import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Message, MessageQueue, MessageQueueError, PublishManyError, type StateChange } from "../../mod.ts";
import { FaultyBackend, RecordingLogger, until } from "./fakes.ts";

const timeout = 30_000;
const away = () => new MessageQueueError("connection", "The broker is away", { retryable: true });

function open() {
  const backend = new FaultyBackend();
  const logger = new RecordingLogger();
  const changes: StateChange[] = [];
  const mq = new MessageQueue(backend, { logger, reconnect: () => 1, onStateChange: (change) => changes.push(change) });
  return { backend, logger, mq, changes };
}

/** Fails so many times, then goes through. */
function failing(times: number, error: () => Error = away): () => void {
  return () => {
    if (times-- > 0) throw error();
  };
}

describe("reconnection", () => {
  it("opens and pulls again until the broker is back, for every kind of consumer", { timeout }, async () => {
    const { mq, backend, changes } = open();
    backend.beforeReceive = failing(3);
    backend.beforePull = failing(5);
    await mq.publish("k", { i: 1 });
    for await (const payload of mq.consume()) {
      assert.deepEqual(payload, { i: 1 });
      break;
    }
    backend.beforeReceive = failing(2);
    backend.beforePull = failing(2);
    const seen = Promise.withResolvers<void>();
    await using _subscription = await mq.subscribe(() => seen.resolve(), { group: "other" });
    await seen.promise;
    assert.deepEqual(changes.slice(0, 2).map((change) => change.state), ["reconnecting", "open"]);
    assert.equal((changes[0]?.error as MessageQueueError).code, "connection");
    assert.equal(mq.state, "open");
    await mq.close();
    assert.equal(changes.at(-1)?.state, "closed");
  });

  it("ends by the signal while the broker is away", { timeout }, async () => {
    const { mq, backend } = open();
    backend.beforePull = failing(Infinity);
    const abort = new AbortController();
    const next = mq.consume({ signal: abort.signal }).next();
    await until(() => backend.pulls.length > 3);
    assert.equal(mq.state, "reconnecting");
    abort.abort();
    assert.deepEqual(await next, { done: true, value: undefined });
    await until(() => mq.state === "open");
    await mq.close();
  });

  it("does not hang a close while the broker is away", { timeout }, async () => {
    const { mq, backend } = open();
    backend.beforeReceive = failing(Infinity);
    const next = mq.consume().next();
    const subscribing = mq.subscribe(() => {}).catch((error) => error);
    await until(() => mq.state === "reconnecting");
    await mq.close();
    assert.deepEqual(await next, { done: true, value: undefined });
    assert.ok(await subscribing instanceof Error);
  });

  it("fails at once, with the error, by what no retry mends", { timeout }, async () => {
    const { mq, backend, logger } = open();
    backend.beforePull = failing(1, () => new MessageQueueError("storage", "The disk is gone"));
    await assert.rejects(mq.consume().next(), { code: "storage" });
    backend.beforePull = failing(1, () => new MessageQueueError("storage", "The disk is gone"));
    const subscription = await mq.subscribe(() => {});
    await assert.rejects(subscription.closed, { code: "storage" });
    assert.ok(logger.lines.some((line) => line.includes("The disk is gone")));
    assert.equal(backend.openReceivers, 0);
    await mq.close();
  });

  it("settles again while the broker is away, within the lease", { timeout }, async () => {
    const { mq, backend } = open();
    await mq.publish("k", {});
    const delivery = (await mq.receive().next()).value;
    backend.beforeSettle = failing(3);
    await delivery?.ack();
    backend.beforeSettle = failing(Infinity);
    await mq.publish("k", {});
    const second = (await mq.receive({ leaseMs: 100 }).next()).value;
    await assert.rejects(async () => await second?.ack(), { code: "connection" });
    await mq.close();
  });
});

describe("publish while the broker is away", () => {
  it("tries again with the same message until it is stored", { timeout }, async () => {
    const { mq, backend, changes } = open();
    const ids: (string | undefined)[] = [];
    backend.beforePublish = (messages) => {
      ids.push(messages[0]?.id);
      if (ids.length < 4) throw away();
    };
    const id = await mq.publish("k", { i: 1 }, { id: "mine" });
    assert.deepEqual(ids, ["mine", "mine", "mine", "mine"]);
    assert.equal(id, "mine");
    assert.deepEqual(changes.map((change) => change.state), ["reconnecting", "open"]);
    await mq.close();
  });

  it("does not try again what no retry mends", { timeout }, async () => {
    const { mq, backend } = open();
    let tries = 0;
    backend.beforePublish = () => {
      tries++;
      throw new MessageQueueError("storage", "Full disk");
    };
    await assert.rejects(mq.publish("k", {}), { code: "storage" });
    assert.equal(tries, 1);
    await mq.close();
  });

  it("gives up by publishTimeoutMs, also when the backend never answers", { timeout }, async () => {
    const { mq, backend } = open();
    backend.beforePublish = failing(Infinity);
    await assert.rejects(mq.publish("k", {}, { publishTimeoutMs: 50 }), (error: MessageQueueError) => {
      assert.equal(error.code, "publish_timeout");
      assert.equal((error.cause as MessageQueueError).code, "connection");
      return true;
    });
    const answer = Promise.withResolvers<void>();
    backend.beforePublish = () => answer.promise;
    await assert.rejects(mq.publish("k", {}, { publishTimeoutMs: 50 }), { code: "publish_timeout" });
    answer.resolve();
    await mq.close();
  });

  it("gives up by its signal, with its reason", { timeout }, async () => {
    const { mq, backend } = open();
    const answer = Promise.withResolvers<void>();
    backend.beforePublish = () => answer.promise;
    const abort = new AbortController();
    const publishing = mq.publish("k", {}, { signal: abort.signal });
    abort.abort(new Error("enough"));
    await assert.rejects(publishing, { message: "enough" });
    await assert.rejects(mq.publish("k", {}, { signal: abort.signal }), { message: "enough" });
    answer.resolve();
    await mq.close();
  });

  it("is waited for by close, which does not wait for a broker that is away", { timeout }, async () => {
    const { mq, backend } = open();
    const answer = Promise.withResolvers<void>();
    backend.beforePublish = () => answer.promise;
    const publishing = mq.publish("k", {});
    const closing = mq.close();
    answer.resolve();
    await publishing;
    await closing;
    const second = open();
    second.backend.beforePublish = failing(Infinity);
    const lost = assert.rejects(second.mq.publish("k", {}), { code: "connection" });
    await second.mq.close();
    await lost;
  });
});

describe("publishMany", () => {
  const batch = [0, 1, 2, 3].map((i) => ({ key: "k", payload: { i }, id: `id${i}` }));

  it("returns the ids in order, and accepts none", { timeout }, async () => {
    const { mq } = open();
    assert.deepEqual(await mq.publishMany(batch), ["id0", "id1", "id2", "id3"]);
    assert.deepEqual(await mq.publishMany([]), []);
    await mq.close();
  });

  it("tries again only those that may work later, and tells which failed for good", { timeout }, async () => {
    const { mq, backend } = open();
    const sent: string[][] = [];
    const denied = new MessageQueueError("storage", "Denied");
    const plan: ((messages: readonly Message[]) => void)[] = [
      (messages) => {
        throw new PublishManyError(messages.length, [{ index: 1, error: denied }, { index: 3, error: away() }]);
      },
      () => {
        throw away();
      },
      () => {},
    ];
    backend.beforePublish = (messages) => {
      sent.push(messages.map((message) => message.id));
      plan.shift()?.(messages);
    };
    await assert.rejects(mq.publishMany(batch), (error) => {
      assert.ok(error instanceof PublishManyError);
      assert.deepEqual(error.failures, [{ index: 1, error: denied }]);
      return true;
    });
    assert.deepEqual(sent, [["id0", "id1", "id2", "id3"], ["id3"], ["id3"]]);
    await mq.close();
  });

  it("tells what befell all messages alike as it is", { timeout }, async () => {
    const { mq, backend } = open();
    backend.beforePublish = failing(1, () => new MessageQueueError("full", "Full"));
    await assert.rejects(mq.publishMany(batch), { code: "full" });
    await mq.close();
  });

  it("refuses the whole batch when one message is wrong", { timeout }, async () => {
    const { mq } = open();
    await assert.rejects(mq.publishMany([{ key: "k", payload: {} }, { key: "", payload: {} }]), TypeError);
    assert.equal((await mq.stats()).retained, 0);
    await mq.close();
  });
});
