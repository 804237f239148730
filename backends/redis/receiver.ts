/**
 * A place in a group: pulling, settling, extending, leaving.
 *
 * @module
 */

import type { Claim, PullOptions, Receiver, Settlement } from "../../core/backend.ts";
import { describeError, MessageQueueError } from "../../core/errors.ts";
import { compileFilter, type KeyMatcher } from "../../core/keys.ts";
import type { Logger } from "../../core/logger.ts";
import type { Broker } from "./broker.ts";
import { type Batch, isPending, makeClaim, type RedisClaim } from "./claims.ts";
import type { Keeper } from "./keeper.ts";
import { Reader, type ReadReply } from "./reader.ts";
import { decodeMessage, type StoredMessage } from "./record.ts";

/** How long closing may take when the server is away, in milliseconds. */
const leaveMs = 2_000;

/** What a receiver is made of. */
export interface RedisReceiverOptions {
  readonly broker: Broker;
  readonly keeper: Keeper;
  readonly logger: Logger;
  readonly group: string;
  readonly consumer: string;
  readonly leaseMs: number;
  /** Called when it has left. */
  readonly onClose: () => void;
}

/** A receiver. */
export class RedisReceiver implements Receiver {
  readonly #broker: Broker;
  readonly #keeper: Keeper;
  readonly #logger: Logger;
  readonly #group: string;
  readonly #consumer: string;
  readonly #leaseMs: number;
  readonly #onClose: () => void;
  #readers: readonly Reader[] | undefined;
  /** Partitions whose stored messages go before the stream. */
  readonly #look: Set<number>;
  readonly #wakes: string[][];
  readonly #batches = new Set<Batch>();
  /** Claimed beyond what was asked for, as several partitions answered at once. */
  #spare: RedisClaim[] = [];
  #filter = "";
  #matches: KeyMatcher = () => true;
  /** Whether claims may have been lost on the way here. */
  #lossy = false;
  #closing: Promise<void> | undefined;

  /** @param options What it is made of. */
  constructor(options: RedisReceiverOptions) {
    this.#broker = options.broker;
    this.#keeper = options.keeper;
    this.#logger = options.logger;
    this.#group = options.group;
    this.#consumer = options.consumer;
    this.#leaseMs = options.leaseMs;
    this.#onClose = options.onClose;
    this.#look = new Set(this.#broker.partitions.map(({ partition }) => partition));
    this.#wakes = this.#broker.partitions.map(() => []);
    this.#keeper.add(this.#consumer, this.#leaseMs);
  }

  /** See {@linkcode Receiver.pull}. */
  async pull({ max, signal }: PullOptions): Promise<readonly Claim[]> {
    while (this.#closing === undefined && !signal.aborted) {
      if (this.#spare.length > 0) return this.#spare.splice(0, max);
      try {
        if (this.#lossy) await this.#recover();
        for (const partition of this.#look) {
          const claims = await this.#claimStored(partition, max);
          if (claims.length > 0) return claims;
          if (signal.aborted) return [];
        }
        const claims = await this.#readFresh(max, signal);
        if (claims.length > 0) return claims;
      } catch (error) {
        if (error instanceof MessageQueueError && error.code === "connection") this.#lossy = true;
        if (this.#closing !== undefined) return [];
        throw error;
      }
    }
    return [];
  }

  /** See {@linkcode Receiver.settle}. */
  async settle(settlements: readonly Settlement[]): Promise<readonly boolean[]> {
    const results = new Array<boolean>(settlements.length).fill(false);
    const now = performance.now();
    const waits: Promise<void>[] = [];
    for (let partition = 0; partition < this.#broker.partitions.length; partition++) {
      const acked: number[] = [];
      const scripted: number[] = [];
      for (let i = 0; i < settlements.length; i++) {
        const settlement = settlements[i];
        if (settlement === undefined) continue;
        const claim = settlement.claim as RedisClaim;
        if (claim.partition !== partition || claim.settled) continue;
        // A pending entry never changes its holder, so XACK itself is the fence. Where the entry may be gone, a script tells which is.
        if (settlement.verb === "ack" && isPending(claim.ref) && now < claim.safeUntil) acked.push(i);
        else scripted.push(i);
      }
      if (acked.length > 0) waits.push(this.#ack(partition, settlements, acked, results));
      if (scripted.length > 0) waits.push(this.#settleByScript(partition, settlements, scripted, results));
    }
    try {
      await (waits.length === 1 ? waits[0] : Promise.all(waits));
    } catch (error) {
      for (const { claim } of settlements) (claim as RedisClaim).unsure = true;
      throw error;
    }
    this.#keeper.settled(settlements.length);
    return results;
  }

  /** See {@linkcode Receiver.extend}. */
  async extend(claims: readonly Claim[], leaseMs: number): Promise<readonly boolean[]> {
    const results = new Array<boolean>(claims.length).fill(false);
    await Promise.all(this.#broker.partitions.map(async ({ partition }) => {
      const indexes = [...claims.keys()].filter((i) => (claims[i] as RedisClaim).partition === partition);
      if (indexes.length === 0) return;
      const sentAt = performance.now();
      const refs = indexes.map((i) => (claims[i] as RedisClaim).ref);
      const held = await this.#broker.run(
        "extend",
        partition,
        [this.#group, this.#consumer, String(this.#leaseMs), String(leaseMs), ...refs],
        "extend leases",
      ) as readonly number[];
      for (const [n, i] of indexes.entries()) {
        const claim = claims[i] as RedisClaim;
        results[i] = held[n] === 1;
        // A lease longer than the receiver's takes the message out of the pending list, where a plain XACK does not find it.
        claim.safeUntil = results[i] && leaseMs <= this.#leaseMs ? sentAt + leaseMs : 0;
      }
    }));
    return results;
  }

  /** See {@linkcode Receiver.close}. */
  close(): Promise<void> {
    return this.#closing ??= this.#leave();
  }

  async #leave(): Promise<void> {
    this.#keeper.remove(this.#consumer);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, leaveMs));
    const left = (async () => {
      await Promise.all((this.#readers ?? []).map((reader) => reader.stop()));
      const spare = this.#spare.splice(0);
      if (spare.length > 0) await this.settle(spare.map((claim) => ({ claim, verb: "release" })));
      const args = [this.#group, this.#consumer, "1"];
      await Promise.all(
        this.#broker.partitions.map(({ partition }) => this.#broker.run("giveBack", partition, args, "leave a group")),
      );
    })().catch((error) => {
      // What it held is given to another after the lease.
      this.#logger.debug(`Cannot leave the group ${this.#group}: ${describeError(error)}`);
    });
    await Promise.race([left, late]);
    clearTimeout(timer);
    for (const reader of this.#readers ?? []) reader.close();
    this.#onClose();
  }

  async #ack(partition: number, settlements: readonly Settlement[], indexes: readonly number[], results: boolean[]) {
    const stream = this.#broker.partitions[partition]?.stream ?? "";
    const args = ["XACK", stream, this.#group];
    for (const i of indexes) args.push((settlements[i]?.claim as RedisClaim).ref);
    const count = await this.#broker.send(partition, args, "ack");
    if (count === indexes.length) {
      for (const i of indexes) this.#settled(settlements[i]?.claim as RedisClaim, results, i, true);
    } else {
      // Some were gone all the same: the group was removed, the server's clock jumped. Which they are nobody can tell now, so all
      // are refused; or they were moved by `extend` meanwhile, and are found by their tokens.
      await this.#settleByScript(partition, settlements, indexes, results);
    }
  }

  async #settleByScript(
    partition: number,
    settlements: readonly Settlement[],
    indexes: readonly number[],
    results: boolean[],
  ): Promise<void> {
    const args = [this.#group, this.#consumer];
    for (const i of indexes) {
      const settlement = settlements[i];
      if (settlement === undefined) continue;
      const { verb, claim } = settlement;
      const delayMs = verb === "nack" ? settlement.delayMs : 0;
      const reason = verb === "reject" ? settlement.reason : "";
      const error = verb === "nack" || verb === "reject" ? settlement.error ?? "" : "";
      args.push(verb, (claim as RedisClaim).ref, String(delayMs), reason, error);
      if (delayMs > 0) this.#keeper.within(delayMs);
      // What this receiver gave back it may take again before it reads on.
      if (verb === "release" || verb === "nack") this.#look.add(partition);
    }
    const held = await this.#broker.run("settle", partition, args, "settle") as readonly number[];
    for (const [n, i] of indexes.entries()) {
      this.#settled(settlements[i]?.claim as RedisClaim, results, i, held[n] === 1);
    }
  }

  #settled(claim: RedisClaim, results: boolean[], index: number, held: boolean): void {
    // Within its lease a claim can only be gone because the call whose answer was lost has settled it.
    results[index] = held || (claim.unsure && performance.now() < claim.safeUntil);
    if (claim.settled) return;
    claim.settled = true;
    if (--claim.batch.open === 0) this.#batches.delete(claim.batch);
  }

  async #claimStored(partition: number, max: number): Promise<RedisClaim[]> {
    const wakes = this.#wakes[partition] ?? [];
    this.#wakes[partition] = [];
    const { maxAgeMs } = this.#broker.settings;
    const safeUntil = performance.now() + this.#leaseMs;
    // Before the answer: what arrives meanwhile must be looked for again.
    this.#look.delete(partition);
    let reply: readonly (string | number)[];
    try {
      reply = await this.#broker.run(
        "claim",
        partition,
        [this.#group, this.#consumer, String(this.#leaseMs), String(max), String(maxAgeMs), ...wakes],
        "claim",
      ) as readonly (string | number)[];
    } catch (error) {
      this.#look.add(partition);
      throw error;
    }
    if (reply[0] === 1) this.#look.add(partition);
    if (Number(reply[1]) >= 0) this.#keeper.within(Number(reply[1]));
    const batch: Batch = { claims: [], open: 0 };
    const broken: Settlement[] = [];
    for (let i = 2; i < reply.length; i += 3) {
      const ref = String(reply[i]);
      const message = tryDecode(String(reply[i + 2]));
      const claim = makeClaim(message ?? unreadable, Number(reply[i + 1]), partition, ref, batch, safeUntil);
      if (message === undefined) broken.push({ claim, verb: "reject", reason: "undecodable" });
    }
    return await this.#keep(batch, broken);
  }

  async #readFresh(max: number, signal: AbortSignal): Promise<RedisClaim[]> {
    const readers = await this.#openReaders();
    const share = Math.ceil(max / this.#broker.partitions.length);
    const sentAt = performance.now();
    const [only] = readers;
    let claims: RedisClaim[];
    if (readers.length === 1 && only !== undefined) {
      const unblock = () => void only.unblock();
      signal.addEventListener("abort", unblock);
      try {
        claims = await this.#take(await only.read(share, signal), sentAt);
      } finally {
        signal.removeEventListener("abort", unblock);
      }
    } else {
      claims = await this.#readAll(readers, share, signal);
    }
    if (claims.length > max) this.#spare = claims.splice(max);
    return claims;
  }

  // The first reader that has something, or fails, ends the others, which keep what they got just then.
  async #readAll(readers: readonly Reader[], share: number, signal: AbortSignal): Promise<RedisClaim[]> {
    const ended = new AbortController();
    const end = () => ended.abort();
    ended.signal.addEventListener("abort", () => readers.forEach((reader) => void reader.unblock()));
    signal.addEventListener("abort", end);
    try {
      const sentAt = performance.now();
      const reads = readers.map(async (reader) => {
        try {
          const reply = await reader.read(share, ended.signal);
          if (reply.results.length > 0) end();
          return await this.#take(reply, sentAt);
        } catch (error) {
          end();
          throw error;
        }
      });
      if (signal.aborted) end();
      const claims: RedisClaim[] = [];
      let failure: { readonly error: unknown } | undefined;
      for (const read of await Promise.allSettled(reads)) {
        if (read.status === "fulfilled") claims.push(...read.value);
        else failure ??= { error: read.reason };
      }
      if (failure !== undefined) {
        this.#lossy = true;
        if (claims.length === 0) throw failure.error;
      }
      return claims;
    } finally {
      signal.removeEventListener("abort", end);
    }
  }

  async #openReaders(): Promise<readonly Reader[]> {
    if (this.#readers === undefined) {
      await this.#broker.connect();
      const { partitions } = this.#broker;
      const sets = this.#broker.isCluster ? partitions.map((each) => [each]) : [partitions];
      this.#readers = sets.map((set) => new Reader(this.#broker, set, this.#group, this.#consumer));
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
    const safeUntil = sentAt + this.#leaseMs;
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
    await this.settle(bad);
    return batch.claims.filter((claim) => !out.has(claim));
  }

  // Nobody waits for this: what is lost with a connection comes back after the lease and is skipped then.
  #skip(partition: number, refs: readonly string[]): void {
    const stream = this.#broker.partitions[partition]?.stream ?? "";
    this.#broker.send(partition, ["XACK", stream, this.#group, ...refs], "skip messages").then(
      () => this.#keeper.settled(refs.length),
      (error) => this.#logger.debug(`Cannot skip messages: ${describeError(error)}`),
    );
  }

  // A broken connection may have taken claims with it that the server counts as ours.
  async #recover(): Promise<void> {
    const known = this.#broker.partitions.map(() => [] as string[]);
    for (const batch of this.#batches) {
      for (const claim of batch.claims) if (!claim.settled) known[claim.partition]?.push(claim.ref);
    }
    await Promise.all(this.#broker.partitions.map(({ partition }) => {
      const args = [this.#group, this.#consumer, "0", ...known[partition] ?? []];
      return this.#broker.run("giveBack", partition, args, "recover claims");
    }));
    for (const { partition } of this.#broker.partitions) this.#look.add(partition);
    this.#lossy = false;
  }
}

const unreadable: StoredMessage = { id: "", key: "", publishedAt: 0, headers: {}, body: "" };

function tryDecode(text: string): StoredMessage | undefined {
  try {
    return decodeMessage(text);
  } catch {
    // Somebody else wrote it; it becomes a dead letter.
    return undefined;
  }
}
