/**
 * The way in of a receiver: stored messages first, then what is fresh in the stream, from as many servers as the partitions are on.
 *
 * @module
 */

import type { Claim, PullOptions, Settlement } from "../../core/backend.ts";
import { describeError, MessageQueueError } from "../../core/errors.ts";
import { compileFilter, type KeyMatcher } from "../../core/keys.ts";
import type { Logger } from "../../core/logger.ts";
import { onAbort } from "../../core/signals.ts";
import type { Broker } from "./broker.ts";
import { type Batch, makeClaim, type RedisClaim } from "./claims.ts";
import type { Keeper } from "./keeper.ts";
import { Reader, type ReadReply } from "./reader.ts";
import { decodeMessage, type StoredMessage } from "./record.ts";

/** How long a partition that could not be reached is left alone while others can, in milliseconds. */
const againMs = 200;

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

/** What a read brought. */
interface Taken {
  readonly claims: RedisClaim[];
  /** How to settle what is not to be handed out. */
  readonly bad: readonly Settlement[];
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
  /** Ends the wait that is under way. */
  #end: () => void = ignore;
  #filter = "";
  #matches: KeyMatcher = () => true;
  #stopped = false;
  #pulling: Promise<unknown> = Promise.resolve();

  /** @param options What it is made of. */
  constructor(options: PullerOptions) {
    this.#options = options;
    this.#broker = options.broker;
    this.#look = new Set(this.#broker.partitions.map(({ partition }) => partition));
    this.#wakes = this.#broker.partitions.map(() => []);
  }

  /** See `Receiver.pull`. */
  pull(options: PullOptions): Promise<readonly Claim[]> {
    const pulling = this.#pull(options);
    this.#pulling = pulling.catch(ignore);
    return pulling;
  }

  async #pull({ max, signal }: PullOptions): Promise<readonly Claim[]> {
    const forget = onAbort(signal, () => this.#end());
    try {
      while (!this.#stopped && !signal.aborted) {
        if (this.#spare.length > 0) return this.#spare.splice(0, max);
        await this.#recover();
        const stored = await this.#pullStored(max, signal);
        if (stored.length > 0) return stored;
        const readers = await this.#openReaders();
        const [only] = readers;
        const sentAt = performance.now();
        let fresh: RedisClaim[];
        if (readers.length > 1 || only === undefined) {
          fresh = await this.#pullAll(readers, max, signal);
        } else {
          try {
            // Taken right here: each function awaited on the way would let others go before the message.
            const { claims, bad } = this.#take(await this.#readOne(only, max, signal), sentAt);
            fresh = bad.length === 0 ? claims : await this.#settleBad(claims, bad);
          } catch (error) {
            fresh = this.#lose(0, error);
          }
        }
        if (fresh.length > max) this.#spare = fresh.splice(max);
        if (fresh.length > 0) return fresh;
      }
    } catch (error) {
      if (!this.#stopped) throw error;
    } finally {
      forget();
    }
    return [];
  }

  #readOne(reader: Reader, max: number, signal: AbortSignal): Promise<ReadReply> {
    this.#end = () => void reader.unblock();
    return reader.read(Math.ceil(max / this.#broker.partitions.length), signal, true);
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
    this.#end();
    await Promise.all((this.#readers ?? []).map((reader) => reader.stop()));
    await this.#pulling;
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
    if (batch.open > 0) this.#batches.add(batch);
    return await this.#settleBad(batch.claims, bad);
  }

  // First all servers are asked what they have, so that none is passed over; then all are waited for, until one has something.
  async #pullAll(readers: readonly Reader[], max: number, signal: AbortSignal): Promise<RedisClaim[]> {
    const share = Math.ceil(max / readers.length);
    const up = readers.filter((reader) => !this.#lossy.has(reader.partition));
    const claims = await this.#readEach(up, share, signal, false, ignore);
    if (claims.length > 0 || signal.aborted || this.#stopped) return claims;
    const ended = new AbortController();
    const end = this.#end = () => {
      if (ended.signal.aborted) return;
      ended.abort();
      for (const reader of up) void reader.unblock();
    };
    // Those that were out of reach are looked for again.
    const again = up.length < readers.length ? setTimeout(end, againMs) : undefined;
    try {
      if (signal.aborted) end();
      return await this.#readEach(up, share, ended.signal, true, end);
    } finally {
      this.#end = ignore;
      clearTimeout(again);
    }
  }

  async #readEach(
    readers: readonly Reader[],
    share: number,
    signal: AbortSignal,
    block: boolean,
    arrived: () => void,
  ): Promise<RedisClaim[]> {
    const sentAt = performance.now();
    const reads = await Promise.allSettled(readers.map(async (reader) => {
      try {
        const reply = await reader.read(share, signal, block);
        if (reply.results.length > 0) arrived();
        const { claims, bad } = this.#take(reply, sentAt);
        return await this.#settleBad(claims, bad);
      } catch (error) {
        arrived();
        return this.#lose(reader.partition, error);
      }
    }));
    const claims = reads.flatMap((read) => read.status === "fulfilled" ? read.value : []);
    const failed = reads.find((read) => read.status === "rejected");
    // What arrived is handed out; an error that stays comes again.
    if (failed !== undefined && claims.length === 0) throw failed.reason;
    return claims;
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

  #take({ results, filter }: ReadReply, sentAt: number): Taken {
    const batch: Batch = { claims: [], open: 0 };
    const bad: Settlement[] = [];
    if (filter === undefined) return { claims: [], bad };
    if (filter !== this.#filter) {
      this.#matches = compileFilter(filter);
      this.#filter = filter;
    }
    const matches = this.#matches;
    const { maxAgeMs } = this.#broker.settings;
    const oldest = maxAgeMs === 0 ? -Infinity : Date.now() - maxAgeMs;
    const safeUntil = sentAt + this.#options.leaseMs;
    for (const { partition, isWake, entries } of results) {
      if (isWake) {
        for (const [id] of entries) this.#wakes[partition]?.push(id);
        this.#look.add(partition);
        continue;
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
    if (batch.open > 0) this.#batches.add(batch);
    return { claims: batch.claims, bad };
  }

  /** @returns What is left to hand out. */
  async #settleBad(claims: RedisClaim[], bad: readonly Settlement[]): Promise<RedisClaim[]> {
    if (bad.length === 0) return claims;
    const out = new Set<Claim>(bad.map(({ claim }) => claim));
    await this.#options.settle(bad);
    return claims.filter((claim) => !out.has(claim));
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
    if (error instanceof MessageQueueError && error.code === "not_found") this.#abandon();
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

  // The group was removed. Should one of its name be made again, an XACK of what was held would settle what another has claimed there.
  #abandon(): void {
    for (const { claims } of this.#batches) for (const claim of claims) claim.settled = true;
    this.#batches.clear();
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
