/**
 * Writing messages as lines, and acking those that were written.
 *
 * @module
 */

import { type Claim, defaultGroup, type Delivery, type MessageQueue, MessageQueueError } from "@abe/mq";
import { type Cli, openCliQueue } from "../context.ts";
import { CliError, errorText, exitCodes } from "../exit.ts";
import { readBody } from "../body.ts";
import { LineWriter } from "../line_writer.ts";
import { interruption } from "../signals.ts";
import { plural } from "../style.ts";
import type { ConsumeFlags } from "./consume.ts";

const defaultPeekCount = 10;
// How long a peek waits for a further message: what waits is there at once, or within a round trip.
const peekPatienceMs = 500;
// Enough that a commit or a round trip is shared by many, little enough that it does not matter what another consumer waits for.
const prefetch = 1_000;
// A lease is renewed long before it ends; only a reader that stalls, such as a pager, makes it necessary.
const leaseMs = 30_000;
const renewMs = 10_000;

/** Runs `mq consume`. */
export async function runConsume(this: Cli, flags: ConsumeFlags): Promise<void> {
  await using queue = await openCliQueue(this, flags);
  using interrupted = interruption();
  // So that `--timeout` is about messages alone. Where it fails, the consumer tries again by itself, and says so.
  await queue.backend.connect?.().catch(() => undefined);
  if (flags.peek) {
    for (const claim of await peek(queue, flags, interrupted.signal)) this.printData(lineOfClaim(claim, flags));
    return;
  }
  const written = await consumeLines(this, queue, flags, interrupted.signal);
  const { count, timeout = 0 } = flags;
  if (count !== undefined && written < count && !interrupted.signal.aborted && timeout > 0) {
    this.say(`${plural(written, "message")} came within the time, not ${count}`);
    this.exitCode = exitCodes.findings;
  }
}

async function consumeLines(
  cli: Cli,
  queue: MessageQueue,
  flags: ConsumeFlags,
  interrupted: AbortSignal,
): Promise<number> {
  const { group, keys, count = Infinity, timeout } = flags;
  const ending = new AbortController();
  const end = () => ending.abort();
  const silence = timeout === undefined ? undefined : new Silence(timeout, end);
  const signal = AbortSignal.any([interrupted, ending.signal]);
  const canExtend = queue.capabilities.leases === true;
  const output = new Output(cli, (delivery) => lineOf(delivery, flags), canExtend, end);
  try {
    let taken = 0;
    const deliveries = queue.receive({
      ...(group !== undefined && { group }),
      ...(keys !== undefined && { keys }),
      ...(canExtend && { leaseMs }),
      prefetch: Math.min(count, prefetch),
      signal,
    });
    for await (const delivery of deliveries) {
      silence?.restart();
      // What it cannot hold it refuses by waiting: a slow reader slows the consumer down.
      await output.add(delivery);
      if (++taken >= count) break;
    }
    await output.end();
  } finally {
    silence?.stop();
    output.dispose();
  }
  return output.written;
}

/** Calls back when nothing happens for a while. One timer, moved only when it fires. */
class Silence {
  readonly #ms: number;
  readonly #end: () => void;
  #since = performance.now();
  #timer: ReturnType<typeof setTimeout>;

  constructor(ms: number, end: () => void) {
    this.#ms = ms;
    this.#end = end;
    this.#timer = setTimeout(() => this.#look(), ms);
  }

  restart(): void {
    this.#since = performance.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    const left = this.#since + this.#ms - performance.now();
    if (left <= 1) this.#end();
    else this.#timer = setTimeout(() => this.#look(), left);
  }
}

/** Writes deliveries in chunks, and acks a chunk once it is written. */
class Output {
  /** How many lines were written. */
  written = 0;
  readonly #cli: Cli;
  readonly #line: (delivery: Delivery) => string;
  readonly #writer = new LineWriter();
  readonly #gone: () => void;
  readonly #unwritten = new Set<Delivery>();
  readonly #renewing: ReturnType<typeof setInterval> | undefined;
  #chunk: Delivery[] = [];
  #writing: Promise<void> | undefined;
  readonly #acks = new Set<Promise<void>>();
  #isGone = false;

  constructor(cli: Cli, line: (delivery: Delivery) => string, canExtend: boolean, gone: () => void) {
    this.#cli = cli;
    this.#line = line;
    this.#gone = gone;
    this.#renewing = canExtend ? setInterval(() => this.#renew(), renewMs) : undefined;
  }

  /** Writes a delivery with the next chunk; waits while a large one is under way. */
  async add(delivery: Delivery): Promise<void> {
    this.#unwritten.add(delivery);
    this.#chunk.push(delivery);
    this.#pump();
    if (this.#chunk.length >= prefetch) await this.#writing;
  }

  /** Waits until all is written and acked. */
  async end(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    while (this.#acks.size > 0) await Promise.all(this.#acks);
  }

  dispose(): void {
    clearInterval(this.#renewing);
  }

  #pump(): void {
    if (this.#writing !== undefined || this.#chunk.length === 0 || this.#isGone) return;
    // The next chunk gathers what is at hand already.
    this.#writing = Promise.resolve().then(() => this.#write()).finally(() => {
      this.#writing = undefined;
      this.#pump();
    });
  }

  async #write(): Promise<void> {
    const chunk = this.#chunk;
    this.#chunk = [];
    try {
      await this.#writer.write(chunk.map((delivery) => `${this.#line(delivery)}\n`).join(""));
    } catch (error) {
      // Nobody reads any more: what was not written is not acked, and goes back when the queue closes.
      this.#isGone = true;
      this.#gone();
      if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
      return;
    }
    this.written += chunk.length;
    for (const delivery of chunk) {
      this.#unwritten.delete(delivery);
      const ack = delivery.ack().catch((error: unknown) => {
        this.#cli.say(
          `Message ${delivery.id} was written but not acked, and will come again: ${errorText(error, false)}`,
        );
      }).finally(() => this.#acks.delete(ack));
      this.#acks.add(ack);
    }
  }

  #renew(): void {
    for (const delivery of this.#unwritten) {
      // A lease that is lost shows when it is acked.
      delivery.extend(leaseMs).catch(() => undefined);
    }
  }
}

function lineOf(delivery: Delivery, flags: ConsumeFlags): string {
  const { id, key, payload, headers, attempt, publishedAt, group, orderingKey } = delivery;
  if (flags.payload) return JSON.stringify(payload);
  return JSON.stringify({ id, key, payload, headers, attempt, publishedAt, group, orderingKey });
}

function lineOfClaim(claim: Claim, flags: ConsumeFlags): string {
  const { id, key, body, headers, attempt, publishedAt, orderingKey } = claim;
  const content = readBody(body);
  if (flags.payload) return JSON.stringify("payload" in content ? content.payload : content);
  const rest = {
    headers,
    attempt,
    publishedAt: new Date(publishedAt),
    group: flags.group ?? defaultGroup,
    orderingKey,
  };
  return JSON.stringify({ id, key, ...content, ...rest });
}

// Claims what waits and releases it, which counts no attempt. The group is not made.
async function peek(queue: MessageQueue, flags: ConsumeFlags, interrupted: AbortSignal): Promise<readonly Claim[]> {
  const { backend } = queue;
  const { group = defaultGroup, count = defaultPeekCount, timeout = peekPatienceMs } = flags;
  if (backend.receive === undefined || backend.groups === undefined) {
    throw new MessageQueueError("unsupported", "Cannot peek: this backend cannot give a message back uncounted");
  }
  if (!(await queue.groups.list()).some((each) => each.name === group)) {
    throw new CliError(`Cannot peek: there is no group ${JSON.stringify(group)}; \`mq groups list\` shows them`);
  }
  const receiver = await backend.receive({ group, leaseMs });
  const claims: Claim[] = [];
  try {
    while (claims.length < count && !interrupted.aborted) {
      const signal = AbortSignal.any([interrupted, AbortSignal.timeout(timeout)]);
      const pulled = await receiver.pull({ max: count - claims.length, signal });
      if (pulled.length === 0) break;
      claims.push(...pulled);
    }
  } finally {
    // The last first, so that each goes back before its elders where the place is not kept.
    await receiver.settle(claims.toReversed().map((claim) => ({ claim, verb: "release" })));
    await receiver.close();
  }
  return claims;
}
