/**
 * Publishing one message, or all lines of a stream at full speed.
 *
 * @module
 */

import { type MessageQueue, type OutgoingMessage, PublishManyError } from "@abe/mq";
import { createReadStream, fstatSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { type Cli, openCliQueue } from "../context.ts";
import { CliError, errorText, exitCodeFor, exitCodes } from "../exit.ts";
import { readLines, until } from "../lines.ts";
import { Progress } from "../progress.ts";
import { interruption } from "../signals.ts";
import { formatDuration, formatNumber, plural } from "../style.ts";
import type { PublishFlags } from "./publish.ts";

// Large enough that a commit or a round trip costs little for each message, small enough to stay far below every broker's limit.
const batchSize = 1_000;
const batchLength = 4_000_000;

type Options = Omit<OutgoingMessage, "key" | "payload">;

/** Runs `mq publish`. */
export async function runPublish(this: Cli, flags: PublishFlags, key?: string, payload?: string): Promise<void> {
  const { file, messages } = flags;
  const isLines = messages || (file === undefined ? payload === undefined : /\.(ndjson|jsonl)$/i.test(file));
  const isStandardInput = isLines && file === undefined && payload === undefined;
  check(flags, key, payload, isLines);
  if (isStandardInput && process.stdin.isTTY) {
    throw usage("there is no payload: give it as an argument, by --file, or as lines of standard input");
  }
  await using queue = await openCliQueue(this, flags);
  const options = optionsOf(flags);
  if (!isLines) {
    const text = file === undefined ? payload ?? "" : await readText(file);
    const from = file === undefined ? "the payload" : file;
    const id = await queue.publish(key ?? "", parsePayload(text, from), {
      ...options,
      publishTimeoutMs: flags.timeout,
    });
    if (flags.json) this.printJson({ id, key });
    else this.print(`Published ${key} ${this.style.dim(id)}`);
    return;
  }
  const make = messages
    ? (line: string, where: string) => parseMessage(line, where, key, options)
    : (line: string, where: string) => ({ ...options, key: key ?? "", payload: parsePayload(line, where) });
  await publishLines(this, flags, queue, make);
}

function check(flags: PublishFlags, key: string | undefined, payload: string | undefined, isLines: boolean): void {
  const { file, messages, id } = flags;
  if (key === undefined && !messages) throw usage("there is no key");
  if (payload !== undefined && file !== undefined) {
    throw usage("give the payload as an argument or by --file, not both");
  }
  if (payload !== undefined && messages) throw usage("--messages reads lines, so it goes without a payload");
  if (id !== undefined && isLines) throw usage("--id is of one message; lines have theirs with --messages");
}

function usage(problem: string): CliError {
  return new CliError(`Cannot publish: ${problem}`, exitCodes.usage);
}

function optionsOf({ header, delay, orderingKey, id }: PublishFlags): Options {
  return {
    ...(header.length > 0 && { headers: Object.fromEntries(header) }),
    ...(delay !== undefined && { delayMs: delay }),
    ...(orderingKey !== undefined && { orderingKey }),
    ...(id !== undefined && { id }),
  };
}

async function readText(file: string): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(file));
  } catch (error) {
    throw cannotRead(file, error);
  }
}

function cannotRead(file: string, error: unknown): CliError {
  const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
  const why = missing ? "there is no such file" : errorText(error, false);
  return new CliError(`Cannot read ${file}: ${why}`, exitCodes.failed, { cause: error });
}

function parseJson(text: string, where: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CliError(`Cannot publish ${where}: it is not JSON (${errorText(error, false)})`, exitCodes.usage, {
      cause: error,
    });
  }
  if (typeof value === "object" && value !== null) return value;
  throw new CliError(`Cannot publish ${where}: a payload is a JSON object or array`, exitCodes.usage);
}

function parsePayload(text: string, where: string): object {
  return parseJson(text, where);
}

function parseMessage(line: string, where: string, key: string | undefined, defaults: Options): OutgoingMessage {
  const message = parseJson(line, where) as Partial<OutgoingMessage>;
  const { payload, headers, id, orderingKey, delayMs } = message;
  const ownKey = key ?? message.key;
  if (typeof ownKey !== "string" || typeof payload !== "object" || payload === null) {
    throw new CliError(`Cannot publish ${where}: a message is { key, payload, ... }`, exitCodes.usage);
  }
  return {
    ...defaults,
    key: ownKey,
    payload,
    ...(headers !== undefined && { headers: { ...headers, ...defaults.headers } }),
    ...(id !== undefined && { id }),
    ...(orderingKey !== undefined && { orderingKey }),
    ...(delayMs !== undefined && { delayMs }),
  };
}

async function publishLines(
  cli: Cli,
  flags: PublishFlags,
  queue: MessageQueue,
  make: (line: string, where: string) => OutgoingMessage,
): Promise<void> {
  using interrupted = interruption();
  const { signal } = interrupted;
  const source = open(flags.file);
  const progress = new Progress("published", {
    total: source.size,
    ...(process.stderr.isTTY && !flags.json && { write: (text: string) => void process.stderr.write(text) }),
  });
  const sender = new Sender(queue, progress, flags.timeout);
  let number = 0;
  try {
    for await (const lines of readLines(until(source.stream, signal), (bytes) => progress.done += bytes)) {
      for (const line of lines) {
        number++;
        if (line.trim() === "") continue;
        await sender.add(make(line, `line ${formatNumber(number)}`), line.length);
      }
      sender.flush();
      if (signal.aborted) break;
    }
    await sender.end();
  } catch (error) {
    // What was read before is on its way; how much of it arrived is worth knowing.
    const failure = await sender.end().then(() => error, (sending: unknown) => sending);
    progress.clear();
    throw withCount(failure, progress.count, flags.file);
  } finally {
    source.stream.destroy();
    cli.mustLeave = flags.file === undefined;
    progress.clear();
  }
  report(cli, flags, progress);
  if (signal.aborted) {
    throw new CliError("Interrupted: the rest was not published", exitCodes.interrupted);
  }
}

/** Publishes batches one after the other, in order; while one is under way the next is gathered. */
class Sender {
  readonly #queue: MessageQueue;
  readonly #progress: Progress;
  readonly #timeoutMs: number;
  #batch: OutgoingMessage[] = [];
  #length = 0;
  #sending: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(queue: MessageQueue, progress: Progress, timeoutMs: number) {
    this.#queue = queue;
    this.#progress = progress;
    this.#timeoutMs = timeoutMs;
  }

  /** Adds a message; waits when the batch is full and another is under way. */
  async add(message: OutgoingMessage, length: number): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#batch.push(message);
    this.#length += length;
    if (this.#batch.length < batchSize && this.#length < batchLength) return;
    await this.#sending;
    this.flush();
  }

  /** Sends what was gathered, unless a batch is under way. */
  flush(): void {
    if (this.#sending !== undefined || this.#failure !== undefined || this.#batch.length === 0) return;
    const batch = this.#batch;
    this.#batch = [];
    this.#length = 0;
    this.#sending = this.#send(batch).catch((error: unknown) => {
      this.#failure = { error };
    }).finally(() => {
      this.#sending = undefined;
    });
  }

  /** Sends the rest. */
  async end(): Promise<void> {
    while (this.#failure === undefined && (this.#sending !== undefined || this.#batch.length > 0)) {
      this.flush();
      await this.#sending;
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #send(batch: readonly OutgoingMessage[]): Promise<void> {
    try {
      await this.#queue.publishMany(batch, { publishTimeoutMs: this.#timeoutMs });
      this.#progress.count += batch.length;
    } catch (error) {
      if (error instanceof PublishManyError) this.#progress.count += batch.length - error.failures.length;
      throw error;
    }
    this.#progress.draw();
  }
}

function open(file: string | undefined): { stream: NodeJS.ReadableStream & { destroy(): void }; size?: number } {
  const sizeOf = (isFile: boolean, size: number) => isFile ? { size } : {};
  if (file === undefined) {
    const stats = fstatSync(0);
    return { stream: process.stdin, ...sizeOf(stats.isFile(), stats.size) };
  }
  try {
    const stats = statSync(file);
    return { stream: createReadStream(file, { highWaterMark: 262_144 }), ...sizeOf(stats.isFile(), stats.size) };
  } catch (error) {
    throw cannotRead(file, error);
  }
}

function withCount(error: unknown, count: number, file: string | undefined): CliError {
  const from = file === undefined ? "" : ` (${file})`;
  return new CliError(
    `${errorText(error, false)}${from}; ${plural(count, "message")} before it ${
      count === 1 ? "was" : "were"
    } published`,
    exitCodeFor(error),
    { cause: error },
  );
}

function report(cli: Cli, flags: PublishFlags, { count, elapsedMs, rate }: Progress): void {
  if (flags.json) {
    cli.printJson({ published: count, elapsedMs: Math.round(elapsedMs), ratePerSecond: Math.round(rate) });
  } else {
    cli.print(`Published ${plural(count, "message")} in ${formatDuration(elapsedMs)} (${formatNumber(rate)}/s)`);
  }
}
