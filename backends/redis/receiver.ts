/**
 * A place in a group: pulling, settling, extending, leaving.
 *
 * @module
 */

import type { Claim, PullOptions, Receiver, Settlement } from "../../core/backend.ts";
import { describeError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { settledWithin } from "../../core/signals.ts";
import type { Broker } from "./broker.ts";
import { isPending, type RedisClaim } from "./claims.ts";
import type { Keeper } from "./keeper.ts";
import { Puller } from "./puller.ts";

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
  readonly #puller: Puller;
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
    this.#puller = new Puller({ ...options, settle: (settlements) => this.settle(settlements) });
    this.#keeper.add(this.#consumer, this.#leaseMs);
  }

  /** See {@linkcode Receiver.pull}. */
  pull(options: PullOptions): Promise<readonly Claim[]> {
    return this.#puller.pull(options);
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
      const indexes = [...claims.keys()].filter((i) => {
        const claim = claims[i] as RedisClaim;
        return claim.partition === partition && !claim.settled;
      });
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
    const left = (async () => {
      const spare = await this.#puller.stop();
      if (spare.length > 0) await this.settle(spare.map((claim) => ({ claim, verb: "release" })));
      const args = [this.#group, this.#consumer, "1"];
      await Promise.all(
        this.#broker.partitions.map(({ partition }) => this.#broker.run("giveBack", partition, args, "leave a group")),
      );
    })().catch((error) => {
      // What it held is given to another after the lease.
      this.#logger.debug(`Cannot leave the group ${this.#group}: ${describeError(error)}`);
    });
    await settledWithin(left, leaveMs);
    this.#puller.close();
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
      if (verb === "release" || verb === "nack") this.#puller.look(partition);
    }
    const held = await this.#broker.run("settle", partition, args, "settle") as readonly number[];
    for (const [n, i] of indexes.entries()) {
      this.#settled(settlements[i]?.claim as RedisClaim, results, i, held[n] === 1);
    }
  }

  #settled(claim: RedisClaim, results: boolean[], index: number, held: boolean): void {
    // Within its lease a claim can only be gone because the call whose answer was lost has settled it.
    results[index] = held || (claim.unsure && performance.now() < claim.safeUntil);
    this.#puller.forget(claim);
  }
}
