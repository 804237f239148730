import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Settlement } from "../../../core/backend.ts";
import { ack, inFolder, message, messages, numberOf, pull, pullCount, pullNothing, timeout, until } from "./helpers.ts";

const group = "g";
const leaseMs = 30_000;

describe("SqliteBackend, at the level of receivers", () => {
  it("delivers what was published, once, in order", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      const receiver = await backend.receive({ group, leaseMs });
      await backend.publishMany(messages(1_000));
      const claims = await pullCount(receiver, 1_000);
      assert.deepEqual(claims.map(numberOf), Array.from({ length: 1_000 }, (_, n) => n));
      assert.ok(claims.every((claim) => claim.attempt === 1));
      assert.ok((await ack(receiver, claims)).every(Boolean));
      await pullNothing(receiver);
      assert.equal((await backend.stats()).retained, 0);
    }));

  it(
    "keeps everything while there is no group, and gives it to the first",
    { timeout },
    () =>
      inFolder(async (folder) => {
        const backend = folder.open();
        await backend.publishMany(messages(10));
        assert.equal((await backend.stats()).retained, 10);
        const receiver = await backend.receive({ group, leaseMs });
        assert.equal((await pullCount(receiver, 10)).length, 10);
      }),
  );

  it(
    "gives every group every message its keys match, and deletes what all have acked",
    { timeout },
    () =>
      inFolder(async (folder) => {
        const backend = folder.open();
        await backend.groups.create("all");
        await backend.groups.create("orders", { keys: "order.*" });
        await backend.publishMany([message(1, { key: "order.created" }), message(2, { key: "user.created" })]);
        const all = await backend.receive({ group: "all", leaseMs });
        const orders = await backend.receive({ group: "orders", leaseMs });
        const [first, second] = [await pullCount(all, 2), await pull(orders)];
        assert.deepEqual([first.map(numberOf), second.map(numberOf)], [[1, 2], [1]]);
        await pullNothing(orders);
        await ack(all, first);
        assert.equal((await backend.stats()).retained, 1);
        await ack(orders, second);
        assert.equal((await backend.stats()).retained, 0);
      }),
  );

  it(
    "gives a message to another after its lease, and refuses the stale holder",
    { timeout },
    () =>
      inFolder(async (folder) => {
        const backend = folder.open();
        const stale = await backend.receive({ group, leaseMs: 50 });
        const other = await backend.receive({ group, leaseMs });
        await backend.publishMany([message(1), message(2)]);
        const held = await pullCount(stale, 2);
        const first = await pull(other);
        assert.deepEqual([first.map(numberOf), first.map((claim) => claim.attempt)], [[1], [2]], "one at a time");
        const second = await pull(other);
        assert.deepEqual(second.map(numberOf), [2]);
        assert.deepEqual(await ack(stale, held), [false, false]);
        assert.deepEqual(await stale.extend(held, 1_000), [false, false]);
        assert.deepEqual(await ack(other, [...first, ...second]), [true, true]);
      }),
  );

  it("extends the leases it is asked to, and no others", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      const receiver = await backend.receive({ group, leaseMs: 400 });
      const other = await backend.receive({ group, leaseMs });
      await backend.publishMany([message(1), message(2)]);
      const [one, two] = await pullCount(receiver, 2);
      assert.ok(one !== undefined && two !== undefined);
      assert.deepEqual(await receiver.extend([one], leaseMs), [true]);
      assert.deepEqual((await pull(other)).map(numberOf), [2]);
      assert.deepEqual(await receiver.settle([{ claim: one, verb: "ack" }, { claim: two, verb: "ack" }]), [
        true,
        false,
      ]);
    }));

  it("counts a nack and not a release", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      const receiver = await backend.receive({ group, leaseMs });
      await backend.publishMany([message(1), message(2), message(3)]);
      const [one, two, three] = await pullCount(receiver, 3);
      assert.ok(one !== undefined && two !== undefined && three !== undefined);
      const settlements: Settlement[] = [
        { claim: one, verb: "release" },
        { claim: two, verb: "nack", delayMs: 0, error: "no" },
        { claim: three, verb: "release" },
      ];
      assert.deepEqual(await receiver.settle(settlements), [true, true, true]);
      const again = await pull(receiver);
      assert.deepEqual(again.map((claim) => [numberOf(claim), claim.attempt]), [[2, 2]]);
      const rest = await pull(receiver);
      assert.deepEqual(rest.map((claim) => [numberOf(claim), claim.attempt]), [[1, 1], [3, 1]]);
    }));

  it("keeps ordering keys apart, and a retry holds its key back", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      const receiver = await backend.receive({ group, leaseMs });
      const keyed = (n: number, orderingKey: string) => message(n, { orderingKey });
      await backend.publishMany([keyed(1, "a"), keyed(2, "a"), keyed(3, "b"), keyed(4, "a"), message(5)]);
      const first = await pull(receiver);
      assert.deepEqual(first.map(numberOf), [1, 3, 5]);
      const [one] = first;
      assert.ok(one !== undefined);
      await receiver.settle([{ claim: one, verb: "nack", delayMs: 100 }]);
      const retried = await pull(receiver);
      assert.deepEqual(retried.map((claim) => [numberOf(claim), claim.attempt]), [[1, 2]]);
      await pullNothing(receiver);
      await receiver.settle(retried.map((claim) => ({ claim, verb: "reject", reason: "bad" })));
      const second = await pull(receiver);
      assert.deepEqual(second.map((claim) => [numberOf(claim), claim.attempt, claim.orderingKey]), [[2, 1, "a"]]);
      await ack(receiver, second);
      const third = await pull(receiver);
      assert.deepEqual(third.map(numberOf), [4]);
      await ack(receiver, [...third, ...first.slice(1)]);
      assert.equal((await backend.stats()).retained, 0);
    }));

  it("holds a delayed message back, across a restart", { timeout }, () =>
    inFolder(async (folder) => {
      let time = Date.now();
      const now = () => time;
      const first = folder.open({ now });
      await first.groups.create(group);
      await first.publishMany([message(1, { deliverAt: time + 60_000 }), message(2)]);
      await first[Symbol.asyncDispose]();
      const backend = folder.open({ now });
      const receiver = await backend.receive({ group, leaseMs });
      const claims = await pull(receiver);
      assert.deepEqual(claims.map(numberOf), [2]);
      await ack(receiver, claims);
      await pullNothing(receiver);
      assert.equal((await backend.stats()).groups[group]?.delayed, 1);
      time += 60_001;
      assert.deepEqual((await pull(receiver)).map(numberOf), [1]);
    }));

  it(
    "buries what is exhausted, rejected or expired, and replays it to its group alone",
    { timeout },
    () =>
      inFolder(async (folder) => {
        let time = Date.now();
        const backend = folder.open({ now: () => time, maxAgeMs: 600_000 });
        await backend.groups.create(group, { maxAttempts: 2 });
        await backend.groups.create("other");
        const receiver = await backend.receive({ group, leaseMs });
        const other = await backend.receive({ group: "other", leaseMs });
        await backend.publishMany([message(1, { id: "one", headers: { a: "b" }, orderingKey: "k" }), message(2)]);
        const [one, two] = await pullCount(receiver, 2);
        assert.ok(one !== undefined && two !== undefined);
        await receiver.settle([
          { claim: one, verb: "nack", delayMs: 0, error: "first" },
          { claim: two, verb: "reject", reason: "bad", error: "because" },
        ]);
        const again = await pull(receiver);
        await receiver.settle(again.map((claim) => ({ claim, verb: "nack", delayMs: 0, error: "second" })));
        const { deadLetters } = await backend.deadLetters.list(group, { limit: 10 });
        assert.deepEqual(
          deadLetters.map(({ reason, error, attempts, group }) => ({ reason, error, attempts, group })),
          [
            { reason: "bad", error: "because", attempts: 1, group },
            { reason: "exhausted", error: "second", attempts: 2, group },
          ],
        );
        const dead = await backend.deadLetters.get(group, "one");
        assert.deepEqual([dead?.headers, dead?.orderingKey, dead?.body], [{ a: "b" }, "k", '{"n":1}']);
        await ack(other, await pullCount(other, 2));
        assert.equal((await backend.stats()).retained, 0);
        assert.equal(await backend.deadLetters.replay(group, ["one"]), 1);
        const replayed = await pull(receiver);
        assert.deepEqual(replayed.map((claim) => [claim.id, claim.attempt, claim.orderingKey]), [["one", 1, "k"]]);
        await ack(receiver, replayed);
        await pullNothing(other);
        assert.equal(await backend.deadLetters.purge(group), 1);
        assert.deepEqual(await backend.deadLetters.list(group, { limit: 10 }), { deadLetters: [] });
        await backend.publishMany([message(3)]);
        time += 700_000;
        await pullNothing(receiver);
        assert.equal((await backend.deadLetters.list(group, { limit: 1 })).deadLetters[0]?.reason, "expired");
      }),
  );

  it("buries what its consumers die of", { timeout }, () =>
    inFolder(async (folder) => {
      let time = Date.now();
      const backend = folder.open({ now: () => time });
      await backend.groups.create(group, { maxAttempts: 3 });
      await backend.publishMany([message(1)]);
      for (let attempt = 1; attempt <= 3; attempt++) {
        const receiver = await backend.receive({ group, leaseMs });
        assert.deepEqual((await pull(receiver)).map((claim) => claim.attempt), [attempt]);
        time += leaseMs + 1;
      }
      const receiver = await backend.receive({ group, leaseMs });
      await pullNothing(receiver);
      const dead = (await backend.deadLetters.list(group, { limit: 1 })).deadLetters[0];
      assert.deepEqual([dead?.reason, dead?.attempts], ["exhausted", 3]);
    }));

  it(
    "drops a second message with an application's id within the window",
    { timeout },
    () =>
      inFolder(async (folder) => {
        let time = Date.now();
        const backend = folder.open({ now: () => time, dedupWindowMs: 1_000 });
        const receiver = await backend.receive({ group, leaseMs });
        await Promise.all([
          backend.publishMany([message(1, { id: "x" }), message(2, { id: "x" })]),
          backend.publishMany([message(3, { id: "x" })]),
          backend.publishMany([message(4, { id: "y", delayMs: 10_000 })]),
          backend.publishMany([message(5, { id: "y" })]),
        ]);
        assert.deepEqual((await pull(receiver)).map(numberOf), [1]);
        time += 1_001;
        await backend.publishMany([message(6, { id: "x" })]);
        assert.deepEqual((await pull(receiver)).map(numberOf), [6]);
      }),
  );

  it(
    "refuses with full what is over maxLength, and not what all have acked",
    { timeout },
    () =>
      inFolder(async (folder) => {
        const backend = folder.open({ maxLength: 3 });
        const receiver = await backend.receive({ group, leaseMs });
        await backend.publishMany([message(1), message(2), message(3, { delayMs: 60_000 })]);
        const publish = (n: number) => backend.publishMany([message(n)]);
        await assert.rejects(publish(4), { code: "full" });
        const [one, two] = await pullCount(receiver, 2);
        assert.ok(one !== undefined && two !== undefined);
        await ack(receiver, [two]);
        const results = await Promise.allSettled([publish(5), publish(6)]);
        assert.deepEqual(
          results.map((result) => result.status),
          ["fulfilled", "rejected"],
          "behind one that is not acked",
        );
        await assert.rejects(backend.publishMany(messages(2_000)), { code: "full" });
        assert.equal((await backend.stats()).retained, 3);
        await ack(receiver, [one]);
        assert.equal((await backend.stats()).retained, 2);
      }),
  );

  it("stores a batch of any size whole or not at all", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open({ maxLength: 5_000 });
      await assert.rejects(backend.publishMany(messages(5_001)), { code: "full" });
      assert.equal((await backend.stats()).retained, 0);
      await backend.publishMany(messages(5_000));
      assert.equal((await backend.stats()).retained, 5_000);
    }));

  it("releases what a closed receiver held, and ends its pull", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      const receiver = await backend.receive({ group, leaseMs });
      const other = await backend.receive({ group, leaseMs });
      await backend.publishMany([message(1)]);
      await pull(receiver);
      assert.equal((await backend.stats()).groups[group]?.consumers, 2);
      const waiting = receiver.pull({ max: 1, signal: new AbortController().signal });
      await Promise.all([receiver.close(), receiver.close()]);
      assert.deepEqual(await waiting, []);
      assert.deepEqual((await pull(other)).map((claim) => [numberOf(claim), claim.attempt]), [[1, 2]]);
      assert.equal((await backend.stats()).groups[group]?.consumers, 1);
    }));

  it("removes a group that had no consumer for so long", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      await backend.groups.create("brief", { expiresMs: 100 });
      await backend.groups.create("lasting");
      const receiver = await backend.receive({ group: "brief", leaseMs });
      await backend.publishMany(messages(10));
      await new Promise((resolve) => setTimeout(resolve, 400));
      assert.deepEqual((await backend.groups.list()).map(({ name }) => name), ["brief", "lasting"]);
      await receiver.close();
      await until(async () => (await backend.groups.list()).length === 1, "the group is gone");
      const lasting = await backend.receive({ group: "lasting", leaseMs });
      await ack(lasting, await pullCount(lasting, 10));
      assert.equal((await backend.stats()).retained, 0, "nobody holds messages for it");
    }));

  it("makes, changes and removes groups", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      await backend.publishMany([message(1)]);
      await backend.groups.create("late", { from: "latest", keys: "a.#", maxAttempts: 3, expiresMs: 1e9 });
      await backend.groups.create("late", { keys: "a.#" });
      await assert.rejects(backend.groups.create("late", { keys: "b" }), { code: "group_conflict" });
      await assert.rejects(backend.receive({ group: "late", keys: "b", leaseMs }), { code: "group_conflict" });
      await backend.groups.update("late", { keys: "#", maxAttempts: 4 });
      assert.deepEqual(await backend.groups.list(), [{ name: "late", keys: "#", maxAttempts: 4, expiresMs: 1e9 }]);
      const receiver = await backend.receive({ group: "late", leaseMs });
      await backend.publishMany([message(2)]);
      assert.deepEqual((await pull(receiver)).map(numberOf), [2]);
      await backend.groups.delete("late");
      await assert.rejects(backend.groups.delete("late"), { code: "not_found" });
      await assert.rejects(backend.groups.update("late", {}), { code: "not_found" });
      assert.deepEqual(await backend.groups.list(), []);
    }));

  it("tells a waiting consumer that its group was removed", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      const receiver = await backend.receive({ group, leaseMs });
      const waiting = assert.rejects(receiver.pull({ max: 1, signal: AbortSignal.timeout(20_000) }), {
        code: "not_found",
      });
      await folder.open().groups.delete(group);
      await waiting;
    }));

  it("keeps exchanges apart in one file", { timeout }, () =>
    inFolder(async (folder) => {
      const [a, b] = [folder.open({ exchange: "a" }), folder.open({ exchange: "b" })];
      const [fromA, fromB] = [await a.receive({ group, leaseMs }), await b.receive({ group, leaseMs })];
      await Promise.all([a.publishMany([message(1)]), b.publishMany([message(2)])]);
      assert.deepEqual([(await pull(fromA)).map(numberOf), (await pull(fromB)).map(numberOf)], [[1], [2]]);
      await pullNothing(fromA);
    }));

  it("deletes what is acked behind a message that is not", { timeout }, () =>
    inFolder(async (folder) => {
      const backend = folder.open();
      const receiver = await backend.receive({ group, leaseMs });
      await backend.groups.create("second");
      const second = await backend.receive({ group: "second", leaseMs });
      await backend.publishMany(messages(12_000));
      const [stuck, ...rest] = await pullCount(receiver, 12_000);
      assert.ok(stuck !== undefined);
      await ack(receiver, rest);
      for (let done = 0; done < 12_000; done += 500) await ack(second, await pullCount(second, 500));
      await until(async () => (await backend.stats()).retained === 1, "one is left");
      // A group that starts now finds it, and it goes once both have acked it.
      const late = await backend.receive({ group: "late", leaseMs });
      assert.deepEqual((await pull(late)).map(numberOf), [0]);
      await late.close();
      await backend.groups.delete("late");
      await ack(receiver, [stuck]);
      assert.equal((await backend.stats()).retained, 0);
    }));
});
