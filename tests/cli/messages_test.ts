import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { onTerminal, parseLines, Place } from "./helpers.ts";
import { run, spawn } from "../process.ts";
import { until } from "../wait.ts";

const timeout = 120_000;

function numbered(count: number): string {
  return Array.from({ length: count }, (_, i) => `{"n":${i}}\n`).join("");
}

describe("mq publish and mq consume", () => {
  it("publish a payload given as an argument, with headers, and consume it as a line", { timeout }, async () => {
    using place = new Place();
    const published = await place.json(["publish", "order.created", `{"id":1}`, "--header", "a=b=c", "--header", "d="]);
    const { id } = published as { id: string };
    assert.deepEqual(published, { id, key: "order.created" });
    const consumed = await place.mq(["consume", "--count", "1"]);
    const [line] = parseLines(consumed.stdout) as { publishedAt: string }[];
    const publishedAt = line?.publishedAt ?? "";
    assert.deepEqual(line, {
      id,
      key: "order.created",
      payload: { id: 1 },
      headers: { a: "b=c", d: "" },
      attempt: 1,
      publishedAt,
      group: "default",
    });
    assert.ok(Math.abs(Date.now() - Date.parse(publishedAt)) < timeout);
    assert.deepEqual([consumed.code, consumed.stderr], [0, ""]);
    // It was acked.
    const nothing = await place.mq(["consume", "--timeout", "100ms"]);
    assert.deepEqual([nothing.code, nothing.stdout], [0, ""]);
  });

  it("move many lines, in order, and say how many a second", { timeout }, async () => {
    using place = new Place();
    const input = numbered(5_000);
    const published = await place.mq(["publish", "n"], { input });
    assert.match(published.stdout, /^Published 5,000 messages in \S+ m?s \([\d,]+\/s\)\n$/);
    assert.equal(published.stderr, "", "there is no progress bar without a terminal");
    const consumed = await place.mq(["consume", "--payload", "--count", "5000"]);
    assert.equal(consumed.stdout, input);
    assert.equal(consumed.code, 0);
  });

  it("publish a file as one payload, or line by line", { timeout }, async () => {
    using place = new Place();
    writeFileSync(join(place.folder, "one.json"), `{\n  "n": 1\n}\n`);
    // The last line has no end, one is empty, and one is split by a carriage return and a line feed.
    writeFileSync(join(place.folder, "two.ndjson"), `{"n":2}\r\n\n{"text":"a\\nb\u2028ü"}`);
    assert.equal((await place.mq(["publish", "a", "--file", "one.json"])).code, 0);
    const lines = await place.json(["publish", "b", "--file", "two.ndjson"]) as { published: number };
    assert.equal(lines.published, 2);
    const consumed = await place.mq(["consume", "--payload", "--count", "3"]);
    assert.deepEqual(parseLines(consumed.stdout), [{ n: 1 }, { n: 2 }, { text: "a\nb\u2028ü" }]);
  });

  it("copy messages whole from one queue to another", { timeout }, async () => {
    using from = new Place();
    using to = new Place();
    await from.json(["publish", "a.b", `{"n":1}`, "--header", "h=1", "--id", "x"]);
    await from.json(["publish", "a.c", `[2]`, "--ordering-key", "k"]);
    const taken = await from.mq(["consume", "--count", "2"]);
    assert.equal((await to.mq(["publish", "--messages"], { input: taken.stdout })).code, 0);
    const copies = parseLines((await to.mq(["consume", "--count", "2"])).stdout) as Record<string, unknown>[];
    const originals = parseLines(taken.stdout) as Record<string, unknown>[];
    const comparable = ({ publishedAt: _, ...rest }: Record<string, unknown>) => rest;
    assert.deepEqual(copies.map(comparable), originals.map(comparable));
    assert.deepEqual(originals.map((each) => [each.id === "x", each.orderingKey]), [[true, undefined], [false, "k"]]);
  });

  it("say at which line of the input publishing ended, and how much came before", { timeout }, async () => {
    using place = new Place();
    const bad = await place.mq(["publish", "a"], { input: `{"n":1}\n{"n":2}\n{"n":\n{"n":4}\n` });
    assert.equal(bad.code, 2);
    assert.match(
      bad.stderr,
      /^error: Cannot publish line 3: it is not JSON \(.*\); 2 messages before it were published\n$/,
    );
    const scalar = await place.mq(["publish", "a"], { input: "7\n" });
    assert.match(scalar.stderr, /line 1: a payload is a JSON object or array; 0 messages/);
    const { retained } = await place.json(["stats"]) as { retained: number };
    assert.equal(retained, 2);
  });

  it("publish what comes as it comes, and tell at SIGINT that there may be more", { timeout }, async () => {
    using place = new Place();
    await using publisher = place.start(["publish", "a"]);
    publisher.write(`{"n":1}\n{"n":2}\n`);
    await using consumer = place.start(["consume", "--payload"]);
    await consumer.line(/"n":2/);
    publisher.kill("SIGINT");
    const { code, stdout, stderr } = await publisher.exited;
    assert.deepEqual([code, stderr], [130, "error: Interrupted: the rest was not published\n"]);
    assert.match(stdout, /^Published 2 messages in /);
    consumer.kill("SIGTERM");
    assert.equal((await consumer.exited).code, 0);
    // An error ends it, too, while its input is open still.
    await using wrong = place.start(["publish", "a"]);
    wrong.write("{\n");
    assert.equal((await wrong.exited).code, 2);
  });

  it("consume for a group with a filter, and end when no message comes", { timeout }, async () => {
    using place = new Place();
    const flags = ["--group", "billing", "--keys", "order.*", "--timeout", "300ms"];
    await place.mq(["publish", "order.created", `{"n":1}`]);
    await place.mq(["publish", "user.created", `{"n":2}`]);
    const consumed = await place.mq(["consume", ...flags, "--payload"]);
    assert.deepEqual([consumed.stdout, consumed.code], [`{"n":1}\n`, 0]);
    const short = await place.mq(["consume", ...flags, "--count", "3"]);
    assert.deepEqual([short.code, short.stderr], [5, "0 messages came within the time, not 3\n"]);
    const conflict = await place.mq(["consume", "--group", "billing", "--keys", "user.*"]);
    assert.equal(conflict.code, 1);
    assert.match(conflict.stderr, /^error: .*billing.*\n$/);
  });

  it("peek without acking, counting an attempt or making a group", { timeout }, async () => {
    using place = new Place();
    const missing = await place.mq(["consume", "--peek", "--group", "g"]);
    assert.deepEqual([missing.code, missing.stdout], [1, ""]);
    assert.match(missing.stderr, /there is no group "g"/);
    await place.mq(["consume", "--group", "g", "--timeout", "1ms"]);
    await place.mq(["publish", "a"], { input: numbered(30) });
    const peeked = await place.mq(["consume", "--peek", "--group", "g"]);
    assert.deepEqual(parseLines(peeked.stdout).map((each) => (each as { payload: { n: number } }).payload.n), [
      ...Array(10).keys(),
    ]);
    const taken = await place.mq(["consume", "--group", "g", "--count", "30"]);
    const messages = parseLines(taken.stdout) as { payload: { n: number }; attempt: number }[];
    assert.deepEqual(messages.map(({ payload }) => payload.n), [...Array(30).keys()]);
    assert.ok(messages.every(({ attempt }) => attempt === 1));
  });

  it("end by SIGINT with all that was written acked, and the rest given back", { timeout }, async () => {
    using place = new Place();
    await place.mq(["publish", "a"], { input: numbered(2_000) });
    await using consumer = place.start(["consume", "--payload"]);
    await consumer.line(/"n":0/);
    consumer.kill("SIGINT");
    const { code, stdout } = await consumer.exited;
    assert.equal(code, 0);
    const seen = parseLines(stdout).length;
    const rest = await place.mq(["consume", "--timeout", "500ms"]);
    const messages = parseLines(rest.stdout) as { payload: { n: number }; attempt: number }[];
    assert.deepEqual(
      messages.map(({ payload }) => payload.n),
      Array.from({ length: 2_000 - seen }, (_, i) => seen + i),
    );
    assert.ok(messages.every(({ attempt }) => attempt === 1), "what was not written costs no attempt");
  });

  it("end when the reader goes away, and ack nothing that was not written", { timeout }, async () => {
    using place = new Place();
    await place.mq(["publish", "a"], { input: numbered(50_000) });
    const { command, args, ...rest } = place.command(["consume", "--payload"]);
    const quoted = [command, ...args].map((word) => `'${word}'`).join(" ");
    const piped = await run({ command: "sh", args: ["-c", `${quoted} | head -n 3; `], ...rest });
    assert.deepEqual([piped.code, piped.stdout, piped.stderr], [0, numbered(3), ""]);
    // At most what a pipe holds was written and not read: 64 KiB, in chunks of whole lines.
    const { groups } = await place.json(["stats"]) as { groups: Record<string, { ready: number; inFlight: number }> };
    assert.equal(groups["default"]?.inFlight, 0);
    assert.ok((groups["default"]?.ready ?? 0) > 30_000, JSON.stringify(groups));
  });

  it("refuse wrong usage with one line and exit code 2", { timeout }, async () => {
    using place = new Place();
    const cases: [args: string[], message: RegExp][] = [
      [["publsh"], /There is no command "publsh"; did you mean .*publish/],
      [["publish", "--heder", "a=b"], /--heder.*did you mean --header/],
      [["publish"], /Cannot publish: there is no key/],
      [["publish", "a", "{"], /Cannot publish the payload: it is not JSON/],
      [["publish", "a", "{}", "--file", "x"], /as an argument or by --file, not both/],
      [["consume", "--count", "0"], /"0" is no count/],
      [["consume", "--timeout", "soon"], /"soon" is no duration/],
    ];
    const results = await Promise.all(cases.map(([args]) => place.mq(args, { input: "" })));
    for (const [i, { code, stderr, stdout }] of results.entries()) {
      const [args, message] = cases[i] ?? [[], /./];
      assert.deepEqual([code, stdout, stderr.trimEnd().split("\n").length], [2, "", 1], `${args}: ${stderr}`);
      assert.match(stderr, message);
      assert.match(stderr, /^error: /);
    }
  });
});

describe("on a terminal", () => {
  it("publishing draws a progress bar and takes it away", { timeout }, async () => {
    using place = new Place();
    writeFileSync(join(place.folder, "many.ndjson"), numbered(60_000));
    const { code, stdout } = await run(onTerminal(place.command(["publish", "a", "--file", "many.ndjson"])));
    assert.equal(code, 0, stdout);
    // deno-lint-ignore no-control-regex -- what a terminal is told begins with the escape character
    assert.match(stdout, /\r\[#*-*\] \d+ %  [\d,]+ published, [\d,]+\/s\x1b\[K/);
    // deno-lint-ignore no-control-regex -- what a terminal is told begins with the escape character
    assert.match(stdout, /\r\x1b\[KPublished 60,000 messages in /);
  });

  it("stats --watch redraws its table in place, in colour, until SIGINT", { timeout }, async () => {
    using place = new Place();
    await place.mq(["consume", "--group", "billing", "--timeout", "1ms"]);
    await using watching = spawn(onTerminal(place.command(["stats", "--watch", "--interval", "50ms"])), {
      group: true,
    });
    await until(() => watching.stdout.includes("\x1b[4A\x1b[J"), { what: "a second table", timeoutMs: 60_000 });
    await place.mq(["publish", "a", "{}"]);
    await until(() => /billing +1 /.test(watching.stdout), { what: "the message in the table", timeoutMs: 60_000 });
    watching.kill("SIGINT");
    const { stdout } = await watching.exited;
    assert.ok(stdout.includes("\x1b[2mgroup"), "the header is dim");
  });

  it("every command speaks to people", { timeout }, async () => {
    using place = new Place();
    const session = [
      ["publish", "order.created", `{"id":1}`],
      ["publish", "order.created"],
      ["consume", "--group", "billing", "--count", "1"],
      ["groups", "list"],
      ["stats"],
      ["dead", "list", "--group", "billing"],
      ["dead", "show", "nobody", "--group", "billing"],
      ["plugins", "list", "--no-load"],
      ["backends"],
      ["doctor"],
      ["verify", "memory", "--only", "payloads arrive as they were sent"],
      ["new", "thing"],
      ["completions", "fish"],
      ["groups", "delete", "billing"],
    ];
    const commands = session.map((args) => place.command(args));
    const line = ({ command, args }: { command: string; args: readonly string[] }) =>
      [command, ...args].map((word) => `'${word}'`).join(" ");
    const [first] = commands;
    assert.ok(first !== undefined);
    const script = { ...first, command: "sh", args: ["-c", commands.map(line).join("; ")] };
    const { stdout: raw } = await run(onTerminal(script));
    assert.ok(raw.includes("\x1b[2mgroup"), "in colour");
    // deno-lint-ignore no-control-regex -- what a terminal is told begins with the escape character
    const stdout = raw.replaceAll(/\x1b\[[0-9;]*[A-Za-z]/g, "").replaceAll("\r\n", "\n");
    const expected = [
      /^Published order\.created [\w-]{36}\n/,
      /error: Cannot publish: there is no payload: give it as an argument, by --file, or as lines of standard input\n/,
      /\{"id":"[\w-]{36}","key":"order\.created","payload":\{"id":1\}/,
      /\nbilling +# +10 +never\n/,
      /\n\d retained\ngroup +ready/,
      /Group billing has no dead letters\n/,
      /error: Cannot show nobody: group billing has no such dead letter\n/,
      /\nmemory +built-in +@abe\/mq\/memory/,
      /\ndurable +- +yes/,
      /0 problems, 0 warnings\n/,
      /\r1\/1 payloads arrive as they were sent\r.*Conformance of memory\n/,
      /Made @your-scope\/abe-mq-thing in /,
      /complete -c mq -f -a/,
      /Deleted billing\n/,
    ];
    for (const each of expected) assert.match(stdout, each);
  });

  it("NO_COLOR takes the colours away", { timeout }, async () => {
    using place = new Place();
    const terminal = onTerminal(place.command(["stats"]));
    const { stdout } = await run({ ...terminal, env: { ...terminal.env, NO_COLOR: "1" } });
    assert.ok(stdout.includes("0 retained") && !stdout.includes("\x1b["), stdout);
  });
});
