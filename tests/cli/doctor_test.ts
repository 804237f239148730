import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { MessageQueue } from "@abe/mq";
import { SqliteBackend } from "@abe/mq/sqlite";
import { isOlder } from "../../cli/doctor/runtime.ts";
import { editDistance } from "../../cli/doctor/variables.ts";
import { hideCredentials, redactor } from "../../cli/redact.ts";
import { startRedis } from "../backends/redis/server.ts";
import { run, runtimeCommand } from "../process.ts";
import { cliPath, Place } from "./helpers.ts";

const timeout = 120_000;

interface Examination {
  readonly problems: number;
  readonly warnings: number;
  readonly sections: readonly {
    readonly title: string;
    readonly facts: readonly string[];
    readonly findings: readonly { readonly level: string; readonly message: string; readonly mend?: string }[];
  }[];
}

async function examine(
  place: Place,
  env: Record<string, string> = {},
): Promise<{ code: number | null; found: Examination }> {
  const { code, stdout } = await place.mq(["doctor", "--json"], { env });
  return { code, found: JSON.parse(stdout) };
}

function texts({ sections }: Examination, level: string): string[] {
  return sections.flatMap(({ findings }) => findings)
    .filter((each) => each.level === level)
    .map(({ message, mend }) => `${message} => ${mend}`);
}

describe("mq doctor", () => {
  it("is content with a queue that is well, and shows each section", { timeout }, async () => {
    using place = new Place();
    // The first one makes the file, and says so.
    await place.mq(["doctor"]);
    const { code, stdout } = await place.mq(["doctor"]);
    assert.equal(code, 0, stdout);
    for (const title of ["runtime", "variables", "discovery", "connection", "settings", "groups"]) {
      assert.match(stdout, new RegExp(`^${title}$`, "m"));
    }
    assert.match(stdout, /MESSAGE_QUEUE_BACKEND=sqlite\n/);
    assert.match(stdout, /3\. MESSAGE_QUEUE_BACKEND: sqlite: used\n/);
    assert.match(stdout, /\n0 problems, 0 warnings\n$/);
  });

  it("finds groups that nobody consumes, what dead consumers hold, and dead letters", { timeout }, async () => {
    using place = new Place();
    const path = join(place.folder, "abe-mq.db");
    await using queue = new MessageQueue(new SqliteBackend({ path }));
    for (const n of [1, 2, 3]) await queue.publish("a", { n });
    await queue.groups.create("idle");
    await queue.groups.create("sick");
    for await (const delivery of queue.receive({ group: "sick" })) {
      await delivery.reject("no");
      break;
    }
    // A consumer that is killed while it holds a message.
    await using holder = place.start(["consume", "--group", "sick"]);
    await holder.line(/"payload"/);
    holder.kill("SIGKILL");
    await holder.exited;
    const { code, found } = await examine(place);
    const warnings = texts(found, "warning");
    assert.equal(code, 0);
    assert.ok(
      warnings.some((each) =>
        /^Nobody consumes the group idle, where 3 messages wait.*mq groups delete idle/.test(each)
      ),
    );
    assert.ok(
      warnings.some((each) => /group sick has 1 dead letter => .*mq dead list --group sick/.test(each)),
      `${warnings}`,
    );
  });

  it("finds slips in names, hides secrets, and says what mends a backend that cannot be had", { timeout }, async () => {
    using place = new Place();
    const { code, found } = await examine(place, {
      MESSAGE_QUEUE_BACKEND: "sqlit",
      MESSAGE_QUEUE_PASWORD: "hunter22",
      MESSAGE_QUEUE_URL: "redis://me:hunter23@example.com/",
    });
    assert.equal(code, 5);
    assert.ok(found.problems >= 1);
    assert.match(texts(found, "problem").join("\n"), /did you mean sqlite\?.* => `mq plugins list`/);
    assert.match(
      texts(found, "warning").join("\n"),
      /MESSAGE_QUEUE_PASWORD .* => if MESSAGE_QUEUE_PASSWORD is meant, rename it/,
    );
    const variables = found.sections.find(({ title }) => title === "variables")?.facts ?? [];
    assert.ok(variables.includes("MESSAGE_QUEUE_URL=redis://***@example.com/"), `${variables}`);
    assert.doesNotMatch(JSON.stringify(found), /hunter/);
  });

  it("tells a broker that does not answer, and what its backend finds in its settings", { timeout }, async () => {
    using place = new Place({ MESSAGE_QUEUE_BACKEND: "./broker.ts" });
    const source = (ping: string) =>
      `export default { fromEnv: () => ({
      capabilities: { durable: true },
      publish: async () => {},
      consume: async function* () {},
      ping: async () => { ${ping} },
      stats: async () => ({
        retained: 2,
        groups: { g: { ready: 0, delayed: 0, inFlight: 2, dead: 0, consumers: 0, oldestAgeMs: 9 } },
      }),
      diagnose: async () => [
        { level: "ok", message: "AOF is on" },
        { level: "problem", message: "maxmemory-policy is allkeys-lru, which drops messages", mend: "CONFIG SET maxmemory-policy noeviction" },
      ],
    }) };`;
    writeFileSync(join(place.folder, "broker.ts"), source(""));
    const settings = await place.mq(["doctor"]);
    assert.equal(settings.code, 5);
    assert.match(
      settings.stdout,
      /ok: AOF is on\n.*PROBLEM: maxmemory-policy .*\n +mend: CONFIG SET maxmemory-policy noeviction\n/,
    );
    assert.match(settings.stdout, /warning: 2 messages of the group g are held by consumers that are gone\n +mend: /);
    writeFileSync(join(place.folder, "broker.ts"), source(`throw new Error("connection refused")`));
    const away = await place.mq(["doctor"]);
    assert.equal(away.code, 5);
    assert.match(away.stdout, /PROBLEM: The broker does not answer: connection refused\n +mend: start it/);
    assert.doesNotMatch(away.stdout, /AOF/, "settings of a broker that is away are not looked at");
  });

  it("looks at the settings of Redis and of SQLite that lose messages", { timeout }, async () => {
    const redis = await startRedis({
      args: ["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru", "--appendfsync", "no"],
    });
    try {
      using place = new Place({ MESSAGE_QUEUE_BACKEND: "redis", REDIS_URL: redis.url });
      const bad = await examine(place);
      assert.equal(bad.code, 5);
      const problems = texts(bad.found, "problem");
      assert.equal(problems.length, 2, `${problems}`);
      assert.match(
        problems[0] ?? "",
        /drops keys.*\(maxmemory-policy allkeys-lru\) => CONFIG SET maxmemory-policy noeviction/,
      );
      assert.match(problems[1] ?? "", /a power cut loses about 30 seconds => CONFIG SET appendfsync everysec/);
      assert.match(texts(bad.found, "ok").join("\n"), /clock of Redis .* agree/);
      const settings = [["maxmemory-policy", "noeviction"], ["appendfsync", "always"]];
      for (const [name = "", value = ""] of settings) await redis.command("CONFIG", "SET", name, value);
      const good = await examine(place);
      assert.deepEqual([good.code, good.found.problems, good.found.warnings], [0, 0, 0], JSON.stringify(good.found));
      await redis.command("CONFIG", "SET", "appendonly", "no");
      assert.match(texts((await examine(place)).found, "problem").join("\n"), /keeps no append-only file/);
    } finally {
      await redis.stop();
    }
    using place = new Place({ MESSAGE_QUEUE_BACKEND: "sqlite", MESSAGE_QUEUE_SYNCHRONOUS: "normal" });
    const lax = await examine(place);
    const warnings = texts(lax.found, "warning").join("\n");
    assert.match(warnings, /a power cut may lose .* => MESSAGE_QUEUE_SYNCHRONOUS=FULL/);
    // A path with a slip in it looks like an empty queue.
    assert.match(warnings, /abe-mq\.db was not there and has been made => .*MESSAGE_QUEUE_PATH/);
    assert.doesNotMatch(texts((await examine(place)).found, "warning").join("\n"), /was not there/);
  });

  it("warns that memory is used when nothing is configured", { timeout }, async () => {
    using place = new Place({});
    const { code, found } = await examine(place);
    assert.equal(code, 0);
    assert.match(texts(found, "warning").join("\n"), /No backend is configured.* => MESSAGE_QUEUE_BACKEND=sqlite/);
  });

  it("works with few permissions of Deno, and names those that are missing", { timeout }, async () => {
    using place = new Place();
    const permissions = ["--allow-read", "--allow-env=MESSAGE_QUEUE_BACKEND,ABE_MQ_PLUGIN_URL,ABE_MQ_PLUGINS"];
    const command = runtimeCommand("deno", cliPath, { args: ["doctor"], permissions, cwd: place.folder });
    const { stdout, stderr, code } = await run(command);
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /warning: Not all of the permission net is granted: brokers.*\n +mend: --allow-net, whole or by name/,
    );
  });
});

describe("the parts of the doctor", () => {
  it("compare versions by number", { timeout }, () => {
    const pairs: [string, string, boolean][] = [["2.9.6", "2.9.0", false], ["2.10.0", "2.9.0", false], [
      "1.3.99",
      "1.4.0",
      true,
    ]];
    for (const [version, least, older] of pairs) assert.equal(isOlder(version, least), older, version);
  });

  it("count slips", { timeout }, () => {
    assert.deepEqual([editDistance("abc", "abc"), editDistance("abc", "ac"), editDistance("", "ab")], [0, 1, 2]);
  });

  it("hide the credentials of any URL, and every secret by its value", { timeout }, () => {
    assert.equal(
      hideCredentials("to redis://u:p@ss@h:1/x and https://h/y?token=abc&z=1"),
      "to redis://***@h:1/x and https://h/y?token=***&z=1",
    );
    assert.equal(hideCredentials("https://jsr.io/@acme/x"), "https://jsr.io/@acme/x");
    const redact = redactor({
      MESSAGE_QUEUE_PASSWORD: "pass word",
      REDIS_URL: "redis://u:s%2Fcret@h",
      SHORT_TOKEN: "a",
    });
    assert.equal(redact("pass word, pass%20word, s/cret, s%2Fcret, a"), "***, ***, ***, ***, a");
  });
});
