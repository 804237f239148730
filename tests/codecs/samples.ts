/** What codecs are tried with: what JSON holds, and what it does not. */

import { type Codec, jsonCodec } from "../../mod.ts";
import { devalueCodec, msgpackCodec } from "../../codecs/mod.ts";

/** What every codec holds. */
export const common: object = {
  text: "ä\u0000\ud83d\ude00 \u2028 <script>",
  lone: "\ud800",
  numbers: [0, 1, -1, 127, 128, -33, 65_536, 2 ** 32, 2 ** 53 - 1, -(2 ** 53 - 1), 0.1, -1.5e300, 5e-324],
  truth: [true, false, null],
  "": { "a.b": [[], {}], constructor: 1, toString: "x" },
  long: "x".repeat(70_000),
  many: Array.from({ length: 70_000 }, (_, i) => i % 300),
};

const rich = {
  at: [new Date(0), new Date(1_600_000_000_123), new Date(-1), new Date(8.64e15)],
  map: new Map<unknown, unknown>([["a", 1], [2, new Map([[[1], new Set([1])]])], [null, []]]),
  set: new Set<unknown>([1, "1", new Date(5)]),
  big: [0n, 1n, -1n, 2n ** 64n, -(2n ** 4_000n), 255n, 256n],
  bytes: [new Uint8Array([0, 255]), new Uint8Array(), new Uint8Array([1, 2, 3, 4]).subarray(1, 3)],
};

/** What a codec holds, by its name. */
export const samples: Readonly<Record<string, { readonly codec: Codec; readonly payloads: readonly object[] }>> = {
  json: { codec: jsonCodec, payloads: [common, [1]] },
  devalue: {
    codec: devalueCodec(),
    payloads: [common, rich, [1], {
      undefined: [undefined, { member: undefined }],
      odd: [NaN, Infinity, -Infinity, -0],
      floats: new Float64Array([1.5, NaN]),
      part: new Uint16Array([1, 2, 3]).subarray(1),
      view: new DataView(new ArrayBuffer(2)),
      buffer: new Uint8Array([7]).buffer,
    }],
  },
  msgpack: {
    codec: msgpackCodec(),
    payloads: [{ ...common, lone: "" }, rich, [1], { odd: [NaN, Infinity, -Infinity] }],
  },
};
