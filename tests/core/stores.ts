/** Backends that differ in what they keep of a body: for tests of codecs and middleware. */

import assert from "node:assert/strict";
import type {
  BytesCodec,
  Capabilities,
  ConsumeOptions,
  Message,
  MessageQueueBackend,
  Payload,
  TextCodec,
} from "../../mod.ts";
import { MemoryBackend } from "../../backends/memory.ts";
import { FaultyBackend } from "./fakes.ts";

/** Keeps JSON text and nothing else, as a backend of a JSON column would. */
export class TextBackend extends FaultyBackend {
  override readonly capabilities: Capabilities = { ...new MemoryBackend().capabilities, codecs: false };
  readonly stored: Message[] = [];

  override async publishMany(messages: readonly Message[]): Promise<void> {
    for (const message of messages) {
      assert.equal("contentType" in message, false);
      assert.equal(typeof message.body, "string");
      JSON.parse(message.body as string);
      this.stored.push(message);
    }
    await super.publishMany(messages);
  }
}

/** Three methods over an array. */
export class PlainBackend implements MessageQueueBackend {
  readonly lines: string[] = [];
  #wake = () => {};

  publish(_key: string, payload: Payload): Promise<void> {
    this.lines.push(JSON.stringify(payload));
    this.#wake();
    return Promise.resolve();
  }

  async *consume({ signal }: ConsumeOptions = {}): AsyncGenerator<Payload> {
    signal?.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal?.aborted) {
      const line = this.lines.shift();
      if (line !== undefined) yield JSON.parse(line);
      else await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

/** All of them, by name. */
export const backends: readonly (readonly [name: string, open: () => MessageQueueBackend])[] = [
  ["a backend that keeps bytes", () => new FaultyBackend()],
  ["a backend that keeps JSON text", () => new TextBackend()],
  ["a backend of three methods", () => new PlainBackend()],
];

/** JSON, each byte turned over: bytes that are no text. */
export const flipped: BytesCodec = {
  contentType: "application/x-flipped",
  kind: "bytes",
  encode: (payload) => new TextEncoder().encode(JSON.stringify(payload)).map((byte) => byte ^ 0xff),
  decode: (body) => JSON.parse(new TextDecoder().decode(body.map((byte) => byte ^ 0xff))),
};

/** JSON in brackets: text that is no JSON. */
export const bracketed: TextCodec = {
  contentType: "text/x-bracketed",
  kind: "text",
  encode: (payload) => `<${JSON.stringify(payload)}>`,
  decode: (body) => JSON.parse(body.slice(1, -1)),
};
