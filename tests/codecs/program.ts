/** Reads what another runtime wrote: each line of standard input is a codec's name and what it wrote, as base64. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { text } from "node:stream/consumers";
import { samples } from "./samples.ts";

const lines = (await text(process.stdin)).trim().split("\n");
for (const line of lines) {
  const [name = "", index = "", base64 = ""] = line.split(" ");
  const sample = samples[name];
  assert.ok(sample);
  const bytes = new Uint8Array(Buffer.from(base64, "base64"));
  const { codec } = sample;
  const payload = codec.kind === "text" ? codec.decode(new TextDecoder().decode(bytes)) : codec.decode(bytes);
  assert.deepEqual(payload, sample.payloads[Number(index)], `${name} ${index}`);
}
console.log(`${lines.length} read`);
