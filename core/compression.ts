/**
 * Compression by the streams that every runtime has (gzip, RFC 1952), bounded where it expands.
 *
 * @module
 */

import { MessageQueueError } from "./errors.ts";

// An engine may expand all that it is given at once, up to about a thousandfold; fed so little, it overshoots a bound by a few MiB at most.
const feedBytes = 4_096;

/**
 * Compresses.
 *
 * @param bytes What to compress.
 * @returns A gzip member.
 */
export async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  return await collect(feed(bytes, bytes.length).pipeThrough(new CompressionStream("gzip")), Infinity);
}

/**
 * Expands what {@linkcode gzip} made.
 *
 * @param bytes A gzip member.
 * @param maxBytes It may expand to so many bytes.
 * @returns What was compressed.
 * @throws {MessageQueueError} `undecodable` when it is no gzip member, is cut short or changed, or would expand beyond the bound.
 */
export async function gunzip(bytes: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  try {
    return await collect(feed(bytes, feedBytes).pipeThrough(new DecompressionStream("gzip")), maxBytes);
  } catch (error) {
    if (error instanceof MessageQueueError) throw error;
    throw new MessageQueueError("undecodable", `Cannot expand a body of ${bytes.length} bytes: it is not gzip`, {
      cause: error,
    });
  }
}

function feed(bytes: Uint8Array, step: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at < bytes.length) controller.enqueue(new Uint8Array(bytes.subarray(at, at + step)));
      at += step;
      if (at >= bytes.length) controller.close();
    },
  }, { highWaterMark: 0 });
}

async function collect(stream: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > maxBytes) {
      await reader.cancel();
      throw new MessageQueueError(
        "undecodable",
        `Cannot expand a body beyond ${maxBytes} bytes: the option maxBodyBytes bounds it`,
      );
    }
    chunks.push(value);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
