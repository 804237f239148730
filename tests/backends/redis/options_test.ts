import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RedisBackend } from "../../../backends/redis.ts";
import { checkOptions, optionsFromEnv } from "../../../backends/redis/options.ts";
import { nameExchange, partitionOf, slotOf } from "../../../backends/redis/names.ts";
import { decodeMessage, encodeMessage } from "../../../backends/redis/record.ts";
import { ConfigError, envFrom } from "../../../mod.ts";
import { createMessage } from "../../../core/message.ts";

const timeout = 10_000;

function problems(call: () => unknown): readonly string[] {
  try {
    call();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
}

const settings = (variables: Record<string, string>) => checkOptions(optionsFromEnv(envFrom(variables)));

void describe("RedisBackend.fromEnv", () => {
  it("needs nothing", { timeout }, () => {
    const { urls, exchange, partitions, dedupWindowMs, minReplicas } = settings({});
    assert.deepEqual(urls.map(({ host, port, tls, database }) => ({ host, port, tls, database })), [
      { host: "127.0.0.1", port: 6379, tls: false, database: 0 },
    ]);
    assert.deepEqual({ exchange, partitions, dedupWindowMs, minReplicas }, {
      exchange: "application_events",
      partitions: 1,
      dedupWindowMs: 300_000,
      minReplicas: 0,
    });
  });

  it("reads a URL with everything in it", { timeout }, () => {
    const [url] = settings({ MESSAGE_QUEUE_URL: "rediss://ali%40home:p%3Aw@[::1]:7000/3" }).urls;
    assert.deepEqual(url, { host: "::1", port: 7000, tls: true, username: "ali@home", password: "p:w", database: 3 });
  });

  it("prefers MESSAGE_QUEUE_URL to REDIS_URL, and a URL to its parts", { timeout }, () => {
    const parts = { MESSAGE_QUEUE_HOST: "c", REDIS_URL: "redis://b" };
    assert.equal(settings({ ...parts, MESSAGE_QUEUE_URL: "redis://a" }).urls[0]?.host, "a");
    assert.equal(settings(parts).urls[0]?.host, "b");
    assert.equal(settings({ MESSAGE_QUEUE_HOST: "c" }).urls[0]?.host, "c");
  });

  it("reads parts", { timeout }, () => {
    const [url] = settings({
      MESSAGE_QUEUE_HOST: "broker",
      MESSAGE_QUEUE_PORT: "7001",
      MESSAGE_QUEUE_USERNAME: "u",
      MESSAGE_QUEUE_PASSWORD: "p@/:#%",
      MESSAGE_QUEUE_VHOST: "/2",
    }).urls;
    assert.deepEqual(url, { host: "broker", port: 7001, tls: false, username: "u", password: "p@/:#%", database: 2 });
  });

  it("takes nodes of a cluster, and sentinels with another login than their master's", { timeout }, () => {
    assert.deepEqual(settings({ REDIS_URL: "redis://a:1, redis://b:2" }).urls.map(({ port }) => port), [1, 2]);
    const { urls, sentinel } = settings({
      REDIS_URL: "redis://:s@a:1,redis://b:2",
      REDIS_SENTINEL_MASTER: "m",
      MESSAGE_QUEUE_PASSWORD: "p",
      MESSAGE_QUEUE_VHOST: "4",
    });
    assert.deepEqual(urls.map(({ password, database }) => [password, database]), [["s", 0], [undefined, 0]]);
    assert.deepEqual(sentinel, { master: "m", username: undefined, password: "p", database: 4 });
  });

  it("tells every problem at once, names variables and hides secrets", { timeout }, () => {
    const found = problems(() =>
      RedisBackend.fromEnv(envFrom({
        MESSAGE_QUEUE_URL: "http://u:sesame@h,redis://:tahini@h/x,hunter2,redis://h:99999,redis://%zz:a@h",
        MESSAGE_QUEUE_PARTITIONS: "0",
        MESSAGE_QUEUE_MAX_LENGTH: "many",
        MESSAGE_QUEUE_MAX_AGE_MS: "-1",
        REDIS_MIN_REPLICAS: "1.5",
        MESSAGE_QUEUE_VHOST: "orders",
        MESSAGE_QUEUE_PORT: "0",
      }))
    );
    const text = found.join("\n");
    for (const name of ["PARTITIONS", "MAX_LENGTH", "MAX_AGE_MS", "MIN_REPLICAS", "VHOST", "URL (number 1)"]) {
      assert.match(text, new RegExp(name.replace(/[()]/g, "\\$&")), text);
    }
    for (let n = 1; n <= 5; n++) assert.match(text, new RegExp(`number ${n}`));
    assert.doesNotMatch(text, /sesame|tahini|hunter2|zz/);
  });

  it("checks a port that is given by itself", { timeout }, () => {
    assert.match(problems(() => settings({ MESSAGE_QUEUE_PORT: "70000" })).join(), /MESSAGE_QUEUE_PORT/);
  });

  it("reads what few need without asking for permission", { timeout }, () => {
    const asked: string[] = [];
    const env = { ...envFrom({}), get: (name: string) => void asked.push(name) as undefined };
    optionsFromEnv(env);
    assert.deepEqual(asked.sort(), [
      "MESSAGE_QUEUE_EXCHANGE",
      "MESSAGE_QUEUE_HOST",
      "MESSAGE_QUEUE_PASSWORD",
      "MESSAGE_QUEUE_PORT",
      "MESSAGE_QUEUE_URL",
      "MESSAGE_QUEUE_USERNAME",
      "MESSAGE_QUEUE_VHOST",
    ]);
  });

  it("refuses a database in a cluster", { timeout }, () => {
    assert.match(problems(() => new RedisBackend({ url: "redis://a/1,redis://b" })).join(), /cluster/i);
  });
});

void describe("the layout", () => {
  it("keeps its key names", { timeout }, () => {
    assert.deepEqual(nameExchange("orders", 2).map(({ stream }) => stream), ["{orders:0}:stream", "{orders:1}:stream"]);
    assert.equal(nameExchange("a{b}%", 1)[0]?.stream, "{a%7Bb%7D%25:0}:stream");
  });

  it("finds slots as Redis does", { timeout }, () => {
    // From the cluster specification, and by CLUSTER KEYSLOT.
    assert.equal(slotOf("123456789"), 12_739);
    assert.equal(slotOf("{user1000}.following"), slotOf("{user1000}.followers"));
    assert.equal(slotOf("{}x"), slotOf("{}x"));
    assert.equal(slotOf("foo"), 12_182);
  });

  it("spreads keys over partitions and keeps each in its own", { timeout }, () => {
    const used = new Set(Array.from({ length: 100 }, (_, n) => partitionOf(`key.${n}`, 4)));
    assert.equal(used.size, 4);
    assert.equal(partitionOf("key.1", 4), partitionOf("key.1", 4));
    assert.equal(partitionOf("anything", 1), 0);
  });

  it("keeps its form of messages", { timeout }, () => {
    const message = createMessage("a.b", { n: 1 }, { id: "i", headers: { h: "x\ny" }, orderingKey: "o" });
    const text = `i\na.b\n${message.publishedAt}\no\n{"h":"x\\ny"}\n{"n":1}`;
    assert.equal(encodeMessage(message), text);
    const { id, key, publishedAt, headers, body, orderingKey } = message;
    assert.deepEqual({ ...decodeMessage(text) }, { id, key, publishedAt, headers, body, orderingKey });
    assert.throws(() => decodeMessage("what\nelse"), { code: "undecodable" });
  });
});
