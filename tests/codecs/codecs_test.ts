import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Codec, MessageQueue, MessageQueueError, type Payload } from "../../mod.ts";
import { MemoryBackend } from "../../backends/memory.ts";
import { devalueCodec, msgpackCodec } from "../../codecs/mod.ts";
import { run, runtimeCommand, runtimes, thisRuntime } from "../process.ts";
import { RecordingLogger } from "../core/fakes.ts";
import { samples } from "./samples.ts";

const timeout = 120_000;

function encoded(codec: Codec, payload: Payload): Uint8Array {
  const body = codec.encode(payload);
  return typeof body === "string" ? new TextEncoder().encode(body) : body;
}

function roundTrip(codec: Codec, payload: Payload): Payload {
  return codec.kind === "text" ? codec.decode(codec.encode(payload)) : codec.decode(codec.encode(payload));
}

/** Whatever a codec holds, made at random. */
function anything(withUndefined: boolean): fc.Arbitrary<Payload> {
  const key = fc.oneof(fc.string(), fc.integer(), fc.bigInt(), fc.boolean());
  const { tree } = fc.letrec<{ tree: object; leaf: unknown; node: unknown }>((tie) => ({
    leaf: fc.oneof(
      fc.string({ unit: "binary" }),
      fc.integer(),
      fc.double({ noNaN: true }).filter((n) => !Object.is(n, -0)),
      fc.boolean(),
      fc.constant(null),
      fc.bigInt(),
      fc.date({ noInvalidDate: true }),
      fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
      ...(withUndefined ? [fc.constant(undefined)] : []),
    ),
    node: fc.oneof({ depthSize: "small", withCrossShrink: true }, tie("leaf"), tie("tree")),
    tree: fc.oneof(
      fc.array(tie("node")),
      fc.dictionary(fc.string().filter((name) => name !== "__proto__"), tie("node"), { noNullPrototype: true }),
      // Primitive keys: what equals what among objects with the same content is not the same for every runtime's `assert`.
      fc.array(fc.tuple(key, tie("node"))).map((entries) => new Map(entries)),
      fc.array(key).map((values) => new Set(values)),
    ),
  }));
  return tree;
}

describe("codecs of @abe/mq-codecs", () => {
  it("are read by the other runtimes", { timeout }, async () => {
    const lines = Object.entries(samples).flatMap(([name, { codec, payloads }]) =>
      payloads.map((each, i) => `${name} ${i} ${Buffer.from(encoded(codec, each)).toString("base64")}`)
    );
    for (const runtime of runtimes.filter((each) => each !== thisRuntime)) {
      const result = await run(runtimeCommand(runtime, "tests/codecs/program.ts"), { input: lines.join("\n") });
      assert.equal(result.stdout.trim(), `${lines.length} read`, `${runtime}: ${result.output}`);
    }
  });

  for (const [name, codec] of Object.entries({ devalue: devalueCodec(), msgpack: msgpackCodec() })) {
    it(`bring back whatever they take (${name})`, { timeout }, () => {
      fc.assert(
        fc.property(anything(name === "devalue"), (payload) => {
          assert.deepEqual(roundTrip(codec, payload), payload);
        }),
        { numRuns: 300 },
      );
    });

    it(`never break on what they never wrote (${name})`, { timeout }, () => {
      const body = encoded(codec, {
        map: new Map([[1, new Set([2n, new Date(0)])]]),
        bytes: new Uint8Array(3),
        list: [1],
      });
      fc.assert(
        fc.property(fc.nat(body.length - 1), fc.nat(255), fc.nat(body.length), (at, value, length) => {
          const changed = body.slice(0, length);
          if (at < length) changed[at] = value;
          try {
            const payload = codec.kind === "text"
              ? codec.decode(new TextDecoder().decode(changed))
              : codec.decode(changed);
            assert.ok(payload === null || typeof payload !== "function");
          } catch (error) {
            assert.ok(error instanceof Error && !(error instanceof assert.AssertionError), String(error));
          }
        }),
        { numRuns: 2_000 },
      );
    });

    it(`go through a queue, and what is broken goes to the dead letters (${name})`, { timeout }, async () => {
      const backend = new MemoryBackend();
      const mq = new MessageQueue(backend, { codec, logger: new RecordingLogger() });
      const broken: Codec = codec.kind === "text"
        ? { ...codec, encode: () => "[[1,2" }
        : { ...codec, encode: () => new Uint8Array([0xdf, 255, 255, 255, 255]) };
      await new MessageQueue(backend, { codec: broken }).publish("broken", {});
      const payload = { set: new Set([1n]), bytes: new Uint8Array([1]) };
      await mq.publish("k", payload);
      assert.deepEqual((await mq.consume().next()).value, payload);
      const { deadLetters } = await mq.deadLetters.list("default");
      assert.deepEqual(deadLetters.map(({ key, reason }) => [key, reason]), [["broken", "undecodable"]]);
      await mq.close();
    });

    it(`refuse what would not arrive as it was sent (${name})`, { timeout }, () => {
      class Point {}
      const refused: unknown[] = [
        1,
        null,
        { f: () => {} },
        { s: Symbol("s") },
        { r: /x/ },
        { u: new URL("https://example.com") },
        { e: new Error("e") },
        { p: Promise.resolve() },
        { big: 10n ** 10_001n },
        JSON.parse('{"__proto__":1}'),
        ...(name === "devalue" ? [{ point: new Point() }, { box: Object(1) }] : [
          { date: new Date(NaN) },
          { floats: new Float64Array(1) },
          { buffer: new ArrayBuffer(1) },
        ]),
      ];
      for (const payload of refused) {
        assert.throws(
          () => codec.encode(payload as object),
          (error) => error instanceof MessageQueueError && error.code === "invalid_payload",
          String(typeof payload),
        );
      }
    });

    it(`neither write nor read what is nested too deeply (${name})`, { timeout }, () => {
      const nested = (depth: number) => {
        let payload: object = {};
        for (let i = 0; i < depth; i++) payload = i % 2 === 0 ? [payload] : { a: payload };
        return payload;
      };
      const deep = name === "devalue" ? devalueCodec({ maxDepth: 1_000 }) : msgpackCodec({ maxDepth: 1_000 });
      assert.ok(roundTrip(codec, nested(90)));
      assert.throws(() => codec.encode(nested(200)), /nested deeper than 100 levels/);
      const body = encoded(deep, nested(200));
      assert.throws(
        () => codec.kind === "text" ? codec.decode(new TextDecoder().decode(body)) : codec.decode(body),
        /nested deeper than 100 levels/,
      );
    });
  }

  it("copy of a view its own bytes alone", { timeout }, () => {
    const pool = new Uint8Array(100).fill(83);
    const text = devalueCodec().encode({ part: pool.subarray(10, 11), node: Buffer.from("x") });
    assert.ok(text.length < 200 && !text.includes("U1NT"), text);
    const { node } = devalueCodec().decode(text) as { node: Uint8Array };
    assert.deepEqual(node, new Uint8Array([120]));
    assert.deepEqual(roundTrip(msgpackCodec(), [Buffer.from("x")]), [new Uint8Array([120])]);
  });

  it("keep repeated references and cycles (devalue)", { timeout }, () => {
    const cycle: Record<string, unknown> = { list: [] };
    cycle["self"] = cycle;
    const copy = roundTrip(devalueCodec(), cycle) as Record<string, unknown>;
    assert.equal(copy["self"], copy);
  });
});

describe("devalueCodec", () => {
  it("knows no type that it does not write, and bounds what it makes", { timeout }, () => {
    const bodies: Record<string, string> = {
      "a regular expression": '[["RegExp","(a+)+$"]]',
      "a URL": '[["URL","https://example.com"]]',
      "a Temporal": '[["Temporal.PlainDate","2020-01-01"]]',
      "a box": '[["Object",1],1]',
      "a custom type": '[["Evil",1],1]',
      "a view of no buffer": '[["Uint8Array",1],4294967295]',
      "a view of itself": '[["view",0]]',
      "a length that is not there": "[[-7,4294967295,0,1],1]",
      "a number of too many digits": `[["BigInt","${"9".repeat(10_001)}"]]`,
      "a number that is none": '[["BigInt",1]]',
      "a date of an object": '[["Date",{}]]',
      "a member __proto__": '[{"__proto__":1},{"polluted":true}]',
      "an index beyond the end": "[[5]]",
      "an index that is none": '[["Set","0"]]',
      "no array": "{}",
      "nothing": "",
      "a lone number": "-1",
    };
    for (const [what, body] of Object.entries(bodies)) assert.throws(() => devalueCodec().decode(body), what);
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  });

  it("reads in no more steps than the text is long, however it refers to itself", { timeout }, () => {
    // Each level holds the one before it a hundred times: a tree of it would have 100 ** 50 leaves.
    const levels = Array.from({ length: 50 }, (_, i) => Array.from({ length: 100 }, () => i + 1));
    assert.ok(devalueCodec().decode(JSON.stringify([...levels, "x"])));
  });
});

describe("msgpackCodec", () => {
  const decode = (...bytes: number[]) => msgpackCodec().decode(new Uint8Array(bytes));

  it("makes nothing of lengths that do not come", { timeout }, () => {
    const bombs: number[][] = [
      [0xdd, 0xff, 0xff, 0xff, 0xff],
      [0xdf, 0xff, 0xff, 0xff, 0xff],
      [0xdb, 0xff, 0xff, 0xff, 0xff],
      [0xc6, 0xff, 0xff, 0xff, 0xff],
      [0xc9, 0xff, 0xff, 0xff, 0xff, 1],
      [0x92, 0x01],
      [0x91, 0xdd, 0, 0, 1, 0, 1],
      [0xc8, 0xff, 0xff, 3, 1],
    ];
    for (const bytes of bombs) assert.throws(() => decode(...bytes), /beyond the end|of more than/, bytes.join());
    assert.throws(() => msgpackCodec().decode(new Uint8Array(1_000_000).fill(0x91)), /nested deeper/);
    let nested: number[] = [0x90];
    for (let i = 0; i < 110; i++) nested = [0xc8, nested.length >> 8, nested.length & 0xff, 2, ...nested];
    assert.throws(() => decode(...nested), /nested deeper/);
  });

  it("knows no extension but its own, and these only as it writes them", { timeout }, () => {
    const wrong: number[][] = [
      [0xd4, 5, 0],
      [0xd4, 0, 0],
      [0xc7, 1, 1, 0xc0],
      [0xc7, 2, 2, 0x90, 0x90],
      [0xc7, 1, 1, 0x91],
      [0xc1],
      [0x90, 0x90],
      [0x81, 0xa9, ...new TextEncoder().encode("__proto__"), 0xc0],
      [0x81, 0x90, 0xc0],
      [],
    ];
    for (const bytes of wrong) assert.throws(() => decode(...bytes), `of ${bytes}`);
  });

  it("leaves out undefined members and makes others null, as JSON does", { timeout }, () => {
    assert.deepEqual(roundTrip(msgpackCodec(), { a: undefined, b: [undefined] }), { b: [null] });
  });
});
