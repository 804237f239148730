import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { MessageQueue } from "@abe/mq";
import { SqliteBackend } from "@abe/mq/sqlite";
import { freePort } from "../backends/redis/server.ts";
import { parseLines, Place } from "./helpers.ts";

const timeout = 120_000;

// Three dead letters of the group `billing`.
async function bury(place: Place): Promise<string[]> {
  await using queue = new MessageQueue(new SqliteBackend({ path: join(place.folder, "abe-mq.db") }));
  const ids: string[] = [];
  for (const n of [1, 2, 3]) ids.push(await queue.publish("order.created", { n }, { headers: { h: `${n}` } }));
  let left = 3;
  for await (const delivery of queue.receive({ group: "billing" })) {
    await delivery.reject("not for us");
    if (--left === 0) break;
  }
  return ids;
}

describe("mq groups and mq stats", () => {
  it("list and delete groups", { timeout }, async () => {
    using place = new Place();
    const none = await place.mq(["groups", "list"]);
    assert.equal(none.stdout, "There is no group: its first consumer makes it\n");
    await place.mq(["consume", "--group", "billing", "--keys", "order.*", "--timeout", "1ms"]);
    assert.deepEqual(await place.json(["groups", "list"]), [{ name: "billing", keys: "order.*", maxAttempts: 10 }]);
    const list = await place.mq(["groups", "list"]);
    assert.match(list.stdout, /^group +keys +max attempts +expires\nbilling +order\.\* +10 +never\n$/);
    const stats = await place.mq(["stats"]);
    assert.match(stats.stdout, /^0 retained\ngroup +ready .*\nbilling +0 +0 +0 +0 +0 +-\n$/);
    const removed = await place.mq(["groups", "delete", "billing"]);
    assert.deepEqual([removed.code, removed.stdout], [0, "Deleted billing\n"]);
    const again = await place.mq(["groups", "delete", "billing"]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^error: .*billing.*\n$/);
    assert.deepEqual(await place.json(["groups", "list"]), []);
  });
});

describe("mq dead", () => {
  it("lists and shows dead letters", { timeout }, async () => {
    using place = new Place();
    const ids = await bury(place);
    const [list, json, limited, show, missing, none] = await Promise.all([
      place.mq(["dead", "list", "--group", "billing"]),
      place.mq(["dead", "list", "--group", "billing", "--json"]),
      place.mq(["dead", "list", "--group", "billing", "--json", "--limit", "2"]),
      place.mq(["dead", "show", ids[1] ?? "", "--group", "billing"]),
      place.mq(["dead", "show", "nobody", "--group", "billing"]),
      place.mq(["dead", "list"]),
    ]);
    assert.match(list.stdout, new RegExp(`^id +key +reason .*\n${ids[0]}  order.created  not for us  1 `));
    const letters = parseLines(json.stdout) as { id: string; payload: object; reason: string; headers: object }[];
    assert.deepEqual(letters.map(({ id }) => id), ids);
    assert.deepEqual([letters[2]?.payload, letters[2]?.reason, letters[2]?.headers], [{ n: 3 }, "not for us", {
      h: "3",
    }]);
    assert.equal(parseLines(limited.stdout).length, 2);
    assert.match(show.stdout, /reason +not for us\n[^]*header h +2\n\{\n {2}"n": 2\n\}\n$/);
    assert.deepEqual([missing.code, missing.stderr], [
      1,
      "error: Cannot show nobody: group billing has no such dead letter\n",
    ]);
    assert.equal(none.stdout, "Group default has no dead letters\n");
  });

  it("replays and purges those that are named, or all", { timeout }, async () => {
    using place = new Place();
    const [first = "", second = ""] = await bury(place);
    const nothing = await place.mq(["dead", "replay", "--group", "billing"]);
    assert.deepEqual([nothing.code, nothing.stderr], [
      2,
      "error: Cannot replay dead letters: give the ids, or --all\n",
    ]);
    const both = await place.mq(["dead", "purge", first, "--all", "--group", "billing"]);
    assert.equal(both.code, 2);
    assert.deepEqual(await place.json(["dead", "replay", second, "--group", "billing"]), { replayed: 1 });
    const again = await place.mq(["consume", "--group", "billing", "--count", "1"]);
    assert.equal(again.code, 0, again.output);
    const [message] = parseLines(again.stdout) as { id: string; attempt: number }[];
    assert.deepEqual([message?.id, message?.attempt], [second, 1]);
    const partly = await place.mq(["dead", "purge", first, "nobody", "--group", "billing"]);
    assert.equal(partly.code, 1);
    assert.match(partly.stdout, /^Purged 1 dead letter of group billing\n/);
    assert.match(partly.stderr, /Of 2 ids 1 are no dead letters/);
    assert.deepEqual(await place.json(["dead", "purge", "--all", "--group", "billing"]), { purged: 1 });
    assert.deepEqual(await place.json(["dead", "replay", "--all", "--group", "billing"]), { replayed: 0 });
  });
});

describe("the command line", () => {
  it("reads .env, whose variables give way to those that are set", { timeout }, async () => {
    using place = new Place({});
    writeFileSync(join(place.folder, ".env"), "MESSAGE_QUEUE_BACKEND=sqlite\nMESSAGE_QUEUE_URL=file:./from_env.db\n");
    assert.equal((await place.mq(["publish", "a", "{}"])).code, 0);
    const same = await place.json(["stats"]) as { retained: number };
    assert.equal(same.retained, 1);
    const other = await place.json(["stats"], { env: { MESSAGE_QUEUE_URL: "file:./other.db" } }) as {
      retained: number;
    };
    assert.equal(other.retained, 0);
  });

  it("exits with 3 for a backend that cannot be had, and tells why in one line", { timeout }, async () => {
    using place = new Place();
    const cases: [backend: string, message: RegExp][] = [
      ["sqlit", /did you mean sqlite\?/],
      ["./missing.ts", /there is no such file/],
      ["http://127.0.0.1:9/mod.ts", /127\.0\.0\.1:9/],
    ];
    for (const [backend, message] of cases) {
      const { code, stderr } = await place.mq(["stats", "--backend", backend]);
      assert.equal(code, 3, stderr);
      assert.match(stderr, message);
      // Deno says what it downloads.
      assert.equal(stderr.replace(/^Download .*\n/, "").trimEnd().split("\n").length, 1, stderr);
    }
    const { stderr } = await place.mq(["stats", "--backend", "sqlit", "--debug"]);
    assert.match(stderr, /\n +at /, "--debug shows the stack");
  });

  it("exits with 4 when the broker does not answer", { timeout }, async () => {
    using place = new Place({
      MESSAGE_QUEUE_BACKEND: "redis",
      REDIS_URL: `redis://me:hunter22@127.0.0.1:${await freePort()}`,
    });
    const [stats, publish] = await Promise.all([
      place.mq(["stats"]),
      place.mq(["publish", "a", "{}", "--timeout", "300ms"]),
    ]);
    for (const { code, stderr } of [stats, publish]) {
      assert.equal(code, 4, stderr);
      assert.match(stderr, /error: Cannot .*\n$/);
      assert.doesNotMatch(stderr, /hunter22/);
    }
  });

  it("shows messages as they are, also what looks like a secret", { timeout }, async () => {
    using place = new Place({ MESSAGE_QUEUE_BACKEND: "sqlite", MESSAGE_QUEUE_PASSWORD: "swordfish" });
    const payload = { url: "redis://me:hunter22@example.com/", word: "swordfish" };
    await place.mq(["publish", "a", JSON.stringify(payload)]);
    await place.mq(["consume", "--group", "g", "--timeout", "1ms", "--count", "1"]);
    await place.mq(["publish", "a", JSON.stringify(payload)]);
    const peeked = await place.mq(["consume", "--peek", "--group", "g", "--payload"]);
    assert.ok(parseLines(peeked.stdout).length >= 1);
    for (const each of parseLines(peeked.stdout)) assert.deepEqual(each, payload);
    const consumed = await place.mq(["consume", "--group", "h", "--count", "1", "--payload", "--json"]);
    assert.deepEqual(parseLines(consumed.stdout), [payload]);
  });

  it("hides secrets, whatever an error says", { timeout }, async () => {
    using place = new Place({
      MESSAGE_QUEUE_BACKEND: "./leaky.ts",
      MESSAGE_QUEUE_URL: "amqp://user:hunter%232@example.com/",
      MESSAGE_QUEUE_PASSWORD: "swordfish",
    });
    const leak = '`cannot log in: ${env.get("MESSAGE_QUEUE_URL")} hunter#2 ${env.get("MESSAGE_QUEUE_PASSWORD")}`';
    writeFileSync(
      join(place.folder, "leaky.ts"),
      `export default { fromEnv(env) { throw new Error(${leak}); } };\n`,
    );
    for (const flags of [[], ["--debug"]]) {
      const { code, output } = await place.mq(["stats", ...flags]);
      assert.equal(code, 3);
      assert.match(output, /cannot log in/);
      assert.doesNotMatch(output, /hunter|swordfish/);
    }
  });
});
