/**
 * The way in of a receiver: stored messages first, then what is fresh in the stream, from as many servers as the partitions are on.
 *
 * @module
 */

import type { Claim, PullOptions, Settlement } from "../../core/backend.ts";
import { describeError, MessageQueueError } from "../../core/errors.ts";
import { compileFilter, type KeyMatcher } from "../../core/keys.ts";
import type { Logger } from "../../core/logger.ts";
import type { Broker } from "./broker.ts";
import { type Batch, makeClaim, type RedisClaim } from "./claims.ts";
import type { Keeper } from "./keeper.ts";
import { Reader, type ReadReply } from "./reader.ts";
import { decodeMessage, type StoredMessage } from "./record.ts";

/** How long a partition that could not be reached is left alone while others can, in milliseconds. */
const againMs = 200;

/** So long after a pull, in milliseconds, the other reads of it are ended, unless another pull wants them. */
const lingerMs = 20;

/** What a puller is made of. */
export interface PullerOptions {
  readonly broker: Broker;
  readonly keeper: Keeper;
  readonly logger: Logger;
  readonly group: string;
  readonly consumer: string;
  readonly leaseMs: number;
  /** Settles what is not to be handed out. */
  readonly settle: (settlements: readonly Settlement[]) => Promise<unknown>;
}

/** Pulls for one consumer. */
export class Puller {
  readonly #options: PullerOptions;
  readonly #broker: Broker;
  #readers: readonly Reader[] | undefined;
  /** Partitions whose stored messages go before the stream. */
  readonly #look: Set<number>;
  readonly #wakes: string[][];
  readonly #batches = new Set<Batch>();
  /** Partitions where claims may have been lost on the way here, and when to look again. */
  readonly #lossy = new Map<number, number>();
  /** Claimed beyond what was asked for, as several partitions answered at once. */
  #spare: RedisClaim[] = [];
  /** Reads of several servers that go on from one pull to the next. */
  readonly #standing = new Map<Reader, Promise<void>>();
  /** Aborted when those reads are to end, for one that has not begun to block. */
  #ending = new AbortController();
  #failure: { readonly error: unknown } | undefined;
  #arrived: () => void = ignore;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #filter = "";
  #matches: KeyMatcher = () => true;
  #stopped = false;

  /** @param options What it is made of. */
  constructor(options: PullerOptions) {
    this.#options = options;
    this.#broker = options.broker;
    this.#look = new Set(this.#broker.partitions.map(({ partition }) => partition));
    this.#wakes = this.#broker.partitions.map(() => []);
  }

  /** See `Receiver.pull`. */
  async pull({ max, signal }: PullOptions): Promise<readonly Claim[]> {
    while (!this.#stopped && !signal.aborted) {
      if (this.#spare.length > 0) return this.#spare.splice(0, max);
      try {
        await this.#recover();
        const stored = await this.#pullStored(max, signal);
        if (stored.length > 0) return stored;
        const fresh = await this.#pullFresh(max, signal);
        if (fresh.length > max) this.#spare = fresh.splice(max);
        if (fresh.length > 0) return fresh;
      } catch (error) {
        if (this.#stopped) return [];
        throw error;
      }
    }
    return [];
  }

  /** Looks at stored messages of a partition before reading on. */
  look(partition: number): void {
    this.#look.add(partition);
  }

  /** Keeps a claim in mind no longer. */
  forget(claim: RedisClaim): void {
    if (claim.settled) return;
    claim.settled = true;
    if (--claim.batch.open === 0) this.#batches.delete(claim.batch);
  }

  /** Ends every wait. Resolves when nothing arrives any more. @returns What was claimed and not handed out. */
  async stop(): Promise<readonly RedisClaim[]> {
    this.#stopped = true;
    clearTimeout(this.#linger);
    this.#arrived();
    await Promise.all((this.#readers ?? []).map((reader) => reader.stop()));
    await Promise.all(this.#standing.values());
    return this.#spare.splice(0);
  }

  /** Gives connections back. */
  close(): void {
    for (const reader of this.#readers ?? []) reader.close();
  }

  async #pullStored(max: number, signal: AbortSignal): Promise<RedisClaim[]> {
    for (const partition of this.#look) {
      if (this.#lossy.has(partition)) continue;
      const claims = await this.#claimStored(partition, max).catch((error) => this.#lose(partition, error));
      if (claims.length > 0 || signal.aborted) return claims;
    }
    return [];
  }

  async #claimStored(partition: number, max: number): Promise<RedisClaim[]> {
    const { group, consumer, leaseMs, keeper } = this.#options;
    const wakes = this.#wakes[partition] ?? [];
    this.#wakes[partition] = [];
    const safeUntil = performance.now() + leaseMs;
    // Before the answer: what arrives meanwhile must be looked for again.
    this.#look.delete(partition);
    const args = [group, consumer, leaseMs, max, this.#broker.settings.maxAgeMs].map(String).concat(wakes);
    const reply = await this.#broker.run("claim", partition, args, "claim") as readonly (string | number)[];
    if (reply[0] === 1) this.#look.add(partition);
    if (Number(reply[1]) >= 0) keeper.within(Number(reply[1]));
    const batch: Batch = { claims: [], open: 0 };
    const bad: Settlement[] = [];
    for (let i = 2; i < reply.length; i += 3) {
      const message = tryDecode(String(reply[i + 2]));
      const claim = makeClaim(
        message ?? unreadable,
        Number(reply[i + 1]),
        partition,
        String(reply[i]),
        batch,
        safeUntil,
      );
      if (message === undefined) bad.push({ claim, verb: "reject", reason: "undecodable" });
    }
    return await this.#keep(batch, bad);
  }

  async #pullFresh(max: number, signal: AbortSignal): Promise<RedisClaim[]> {
    const readers = await this.#openReaders();
    const [only] = readers;
    if (readers.length > 1 || only === undefined) return await this.#pullAll(readers, max, signal);
    const sentAt = performance.now();
    const unblock = () => void only.unblock();
    signal.addEventListener("abort", unblock);
    try {
      const reply = await only.read(Math.ceil(max / this.#broker.partitions.length), signal);
      return await this.#take(reply, sentAt);
    } catch (error) {
      return this.#lose(0, error);
    } finally {
      signal.removeEventListener("abort", unblock);
    }
  }

  // Each reader waits for itself. Ending all the others for what one brought, and beginning again, would cost a busy consumer two round
  // trips for each server and pull, so reads stand for a moment.
  async #pullAll(readers: readonly Reader[], max: number, signal: AbortSignal): Promise<RedisClaim[]> {
    clearTimeout(this.#linger);
    const share = Math.ceil(max / readers.length);
    for (const reader of readers) {
      if (!this.#standing.has(reader) && !this.#lossy.has(reader.partition)) {
        this.#standing.set(reader, this.#stand(reader, share));
      }
    }
    let wait: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#arrived = resolve;
      signal.addEventListener("abort", this.#arrived);
      if (this.#lossy.size > 0) wait = setTimeout(resolve, againMs);
      if (this.#spare.length > 0 || this.#failure !== undefined || signal.aborted || this.#stopped) resolve();
    });
    signal.removeEventListener("abort", this.#arrived);
    this.#arrived = ignore;
    clearTimeout(wait);
    if (signal.aborted) await this.#unblock();
    else this.#linger = setTimeout(() => void this.#release(), lingerMs);
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined && this.#spare.length === 0) throw failure.error;
    return this.#spare.splice(0);
  }

  async #stand(reader: Reader, share: number): Promise<void> {
    try {
      const sentAt = performance.now();
      const claims = await this.#take(await reader.read(share, this.#ending.signal), sentAt);
      this.#spare.push(...claims);
    } catch (error) {
      try {
        this.#lose(reader.partition, error);
      } catch (fatal) {
        this.#failure = { error: fatal };
      }
    }
    this.#standing.delete(reader);
    this.#arrived();
  }

  async #unblock(): Promise<void> {
    this.#ending.abort();
    this.#ending = new AbortController();
    await Promise.all([...this.#standing.keys()].map((reader) => reader.unblock()));
    await Promise.all(this.#standing.values());
  }

  // Nobody pulls: what the reads still bring is for other consumers.
  async #release(): Promise<void> {
    const arrived = this.#arrived;
    await this.#unblock();
    if (this.#arrived !== arrived || this.#stopped) return;
    const spare = this.#spare.splice(0);
    if (spare.length === 0) return;
    await this.#options.settle(spare.map((claim) => ({ claim, verb: "release" as const }))).catch((error) => {
      this.#options.logger.debug(`Cannot release messages: ${describeError(error)}`);
    });
  }

  async #openReaders(): Promise<readonly Reader[]> {
    if (this.#readers === undefined) {
      await this.#broker.connect();
      const { partitions } = this.#broker;
      const sets = this.#broker.isCluster ? partitions.map((each) => [each]) : [partitions];
      this.#readers = sets.map((set) => new Reader(this.#broker, set, this.#options.group, this.#options.consumer));
    }
    return this.#readers;
  }

  async #take({ results, filter }: ReadReply, sentAt: number): Promise<RedisClaim[]> {
    if (filter === undefined) return [];
    if (filter !== this.#filter) {
      this.#matches = compileFilter(filter);
      this.#filter = filter;
    }
    const matches = this.#matches;
    const { maxAgeMs } = this.#broker.settings;
    const oldest = maxAgeMs === 0 ? -Infinity : Date.now() - maxAgeMs;
    const safeUntil = sentAt + this.#options.leaseMs;
    const batch: Batch = { claims: [], open: 0 };
    const bad: Settlement[] = [];
    for (const { partition, entries, wakes } of results) {
      if (wakes.length > 0) {
        this.#wakes[partition]?.push(...wakes);
        this.#look.add(partition);
      }
      let skipped: string[] | undefined;
      for (const [ref, fields] of entries) {
        const message = fields[0] === "m" ? tryDecode(fields[1] ?? "") : undefined;
        if (message !== undefined && !matches(message.key)) {
          (skipped ??= []).push(ref);
          continue;
        }
        const claim = makeClaim(message ?? unreadable, 1, partition, ref, batch, safeUntil);
        if (message === undefined) bad.push({ claim, verb: "reject", reason: "undecodable" });
        else if (message.publishedAt < oldest) bad.push({ claim, verb: "reject", reason: "expired" });
      }
      if (skipped !== undefined) this.#skip(partition, skipped);
    }
    return await this.#keep(batch, bad);
  }

  // Settles what is not to be handed out, and keeps the rest in mind.
  async #keep(batch: Batch, bad: readonly Settlement[]): Promise<RedisClaim[]> {
    if (batch.open > 0) this.#batches.add(batch);
    if (bad.length === 0) return batch.claims;
    const out = new Set<Claim>(bad.map(({ claim }) => claim));
    await this.#options.settle(bad);
    return batch.claims.filter((claim) => !out.has(claim));
  }

  // Nobody waits for this: what is lost with a connection comes back after the lease and is skipped then.
  #skip(partition: number, refs: readonly string[]): void {
    const { group, keeper, logger } = this.#options;
    const stream = this.#broker.partitions[partition]?.stream ?? "";
    this.#broker.send(partition, ["XACK", stream, group, ...refs], "skip messages").then(
      () => keeper.settled(refs.length),
      (error) => logger.debug(`Cannot skip messages: ${describeError(error)}`),
    );
  }

  // Where one server has all partitions there is nothing to go on with; in a cluster the others are in reach.
  #lose(partition: number, error: unknown): RedisClaim[] {
    if (!(error instanceof MessageQueueError) || error.code !== "connection") throw error;
    const everywhere = !this.#broker.isCluster;
    for (const each of this.#broker.partitions) {
      if (everywhere || each.partition === partition) this.#lossy.set(each.partition, performance.now() + againMs);
    }
    if (everywhere || this.#lossy.size === this.#broker.partitions.length) {
      for (const each of this.#lossy.keys()) this.#lossy.set(each, 0);
      throw error;
    }
    return [];
  }

  // A broken connection may have taken claims with it that the server counts as ours.
  async #recover(): Promise<void> {
    if (this.#lossy.size === 0) return;
    const now = performance.now();
    const { group, consumer } = this.#options;
    const due = [...this.#lossy].flatMap(([partition, at]) => at <= now ? [partition] : []);
    await Promise.all(due.map(async (partition) => {
      const args = [group, consumer, "0"];
      for (const { claims } of this.#batches) {
        for (const claim of claims) if (claim.partition === partition && !claim.settled) args.push(claim.ref);
      }
      try {
        await this.#broker.run("giveBack", partition, args, "recover claims");
      } catch (error) {
        this.#lose(partition, error);
        return;
      }
      this.#lossy.delete(partition);
      this.#look.add(partition);
    }));
  }
}

const unreadable: StoredMessage = { id: "", key: "", publishedAt: 0, headers: {}, body: "" };

function ignore(): void {}

function tryDecode(text: string): StoredMessage | undefined {
  try {
    return decodeMessage(text);
  } catch {
    // Somebody else wrote it; it becomes a dead letter.
    return undefined;
  }
}
