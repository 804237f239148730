/**
 * The codecs of a queue: one to write with, any number to read with, and compression around them.
 *
 * @module
 */

import { bodyBytes, bodyText } from "./carrier.ts";
import { checkInteger } from "./check.ts";
import { type Body, type Codec, jsonCodec, type Payload } from "./codec.ts";
import { gunzip, gzip } from "./compression.ts";
import { describeError, MessageQueueError } from "./errors.ts";
import type { Encoded } from "./message.ts";

/** Which codecs a queue has. */
export interface CodecOptions {
  /**
   * How payloads are written. What is read goes by what each message says it is.
   *
   * @default {jsonCodec}
   */
  readonly codec?: Codec;
  /**
   * What can be read besides JSON and what `codec` writes.
   *
   * @default {[]}
   */
  readonly codecs?: readonly Codec[];
  /**
   * Bodies longer than so many bytes (characters, where the codec writes text) are compressed by gzip, where that makes them smaller. Every queue
   * reads compressed bodies. Absent means never.
   */
  readonly compressAboveBytes?: number;
  /**
   * No body longer than this is written, and none is read or expanded to more: in bytes (characters, where it is text).
   *
   * @default {67_108_864}
   */
  readonly maxBodyBytes?: number;
}

const defaultMaxBodyBytes = 64 * 2 ** 20;

// A parameter of the content type, so that one field says all: what was compressed is what the type says.
const gzipped = /^([^;]*);\s*encoding=gzip$/;

/** The codecs of a queue. */
export class Codecs {
  /** No body is longer. */
  readonly maxBodyBytes: number;
  /** Longer bodies are compressed. */
  readonly compressAboveBytes: number;
  readonly #codec: Codec;
  readonly #byType: ReadonlyMap<string, Codec>;

  /**
   * @param options Which codecs.
   * @throws {TypeError | RangeError} When an option is wrong.
   */
  constructor({ codec = jsonCodec, codecs = [], compressAboveBytes, maxBodyBytes }: CodecOptions = {}) {
    this.#codec = codec;
    const byType = new Map<string, Codec>([[jsonCodec.contentType, jsonCodec]]);
    for (const each of [codec, ...codecs]) {
      checkCodec(each);
      const known = byType.get(each.contentType);
      if (known !== undefined && known !== each) {
        throw new TypeError(`Cannot use two codecs for ${each.contentType}: give one`);
      }
      byType.set(each.contentType, each);
    }
    this.#byType = byType;
    this.maxBodyBytes = checkInteger("maxBodyBytes", maxBodyBytes ?? defaultMaxBodyBytes, 1);
    this.compressAboveBytes = compressAboveBytes === undefined
      ? Infinity
      : checkInteger("compressAboveBytes", compressAboveBytes, 0);
  }

  /**
   * Writes a payload.
   *
   * @param payload What to write.
   * @returns The body, and what it is.
   * @throws {MessageQueueError} `invalid_payload` when it cannot be written, or is too long.
   */
  readonly encode = (payload: Payload): Encoded => {
    const { contentType } = this.#codec;
    const body = this.#codec.encode(payload);
    this.checkLength(body);
    return this.#codec === jsonCodec ? { body } : { body, contentType };
  };

  /** Refuses a body that nobody would read. */
  checkLength(body: Body): void {
    if (body.length <= this.maxBodyBytes) return;
    throw new MessageQueueError(
      "invalid_payload",
      `Cannot publish a body of ${body.length} bytes: the option maxBodyBytes allows ${this.maxBodyBytes}`,
    );
  }

  /**
   * Compresses a body that is long enough, when that makes it shorter.
   *
   * @param encoded The body.
   * @returns The same, or the compressed one.
   */
  async compress(encoded: Encoded): Promise<Encoded> {
    if (encoded.body.length <= this.compressAboveBytes) return encoded;
    const bytes = bodyBytes(encoded.body);
    const body = await gzip(bytes);
    if (body.length >= bytes.length) return encoded;
    return { body, contentType: `${encoded.contentType ?? jsonCodec.contentType};encoding=gzip` };
  }

  /**
   * Reads a body.
   *
   * @param encoded The body, and what it is.
   * @returns The payload; a promise of it only when the body is compressed.
   * @throws {MessageQueueError} `undecodable`.
   */
  decode({ body, contentType = jsonCodec.contentType }: Encoded): Payload | Promise<Payload> {
    if (body.length > this.maxBodyBytes) {
      throw new MessageQueueError(
        "undecodable",
        `Cannot decode a body of ${body.length} bytes: the option maxBodyBytes allows ${this.maxBodyBytes}`,
      );
    }
    const type = gzipped.exec(contentType)?.[1];
    if (type === undefined) return this.#decode(body, contentType);
    const codec = this.#find(type);
    return gunzip(bodyBytes(body), this.maxBodyBytes).then((bytes) => decodeBy(codec, bytes));
  }

  #decode(body: Body, contentType: string): Payload {
    return decodeBy(this.#find(contentType), body);
  }

  #find(contentType: string): Codec {
    const codec = this.#byType.get(contentType) ??
      this.#byType.get((contentType.split(";", 1)[0] ?? "").trim().toLowerCase());
    if (codec !== undefined) return codec;
    throw new MessageQueueError(
      "undecodable",
      `Cannot decode ${JSON.stringify(contentType)}: no codec reads it. Name one in the option codecs`,
    );
  }
}

/** Whether a content type says that the body is compressed, so that reading it takes a while. */
export function isCompressed(contentType: string | undefined): boolean {
  return contentType !== undefined && gzipped.test(contentType);
}

function decodeBy(codec: Codec, body: Body): Payload {
  let payload: unknown;
  try {
    payload = codec.kind === "text" ? codec.decode(bodyText(body)) : codec.decode(bodyBytes(body));
  } catch (error) {
    if (error instanceof MessageQueueError && error.code === "undecodable") throw error;
    throw new MessageQueueError("undecodable", `Cannot decode ${codec.contentType}: ${describeError(error)}`, {
      cause: error,
    });
  }
  if (typeof payload === "object" && payload !== null) return payload;
  throw new MessageQueueError("undecodable", `Cannot decode ${codec.contentType}: it is no object or array`);
}

// Content types are compared as they are written.
const mediaType = /^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/;

function checkCodec(codec: Codec): void {
  if (!mediaType.test(codec.contentType)) {
    throw new TypeError(
      `Cannot use ${JSON.stringify(codec.contentType)} as contentType: it must be a media type in lower case`,
    );
  }
  if (codec.kind !== "text" && codec.kind !== "bytes") {
    throw new TypeError(`Cannot use the codec for ${(codec as Codec).contentType}: its kind is "text" or "bytes"`);
  }
}
