/**
 * Reading lines of text from a stream of bytes, many at a time.
 *
 * @module
 */

/**
 * Ends an iteration by a signal, also while it waits. The stream itself is left as it is: on Deno a read of standard input that is under
 * way can be neither ended nor waited for.
 *
 * @param input What is iterated over.
 * @param signal Ends the iteration, normally.
 * @returns The same values.
 */
export async function* until<T>(input: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = input[Symbol.asyncIterator]();
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>();
  const end = () => resolve(undefined);
  signal.addEventListener("abort", end);
  try {
    while (!signal.aborted) {
      const result = await Promise.race([iterator.next(), aborted]);
      if (result === undefined || result.done) return;
      yield result.value;
    }
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/**
 * Splits a stream of UTF-8 bytes into lines.
 *
 * @param input The bytes.
 * @param onBytes Told how many bytes came, for progress.
 * @returns The lines of one chunk after the other; a last line without an end counts.
 * @throws {TypeError} When the bytes are not UTF-8.
 */
export async function* readLines(
  input: AsyncIterable<Uint8Array | string>,
  onBytes: (count: number) => void = () => {},
): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  for await (const chunk of input) {
    onBytes(chunk.length);
    const text = typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    const lines = text.split(/\r?\n/);
    lines[0] = rest + lines[0];
    // A carriage return at the end of a chunk may belong to a line feed at the start of the next.
    rest = lines.pop() ?? "";
    if (lines.length > 0) yield lines.map((line) => line.endsWith("\r") ? line.slice(0, -1) : line);
  }
  rest += decoder.decode();
  if (rest !== "") yield [rest];
}
