/**
 * What is done now and then for a group while somebody in this process receives: moving what is due, taking over what dead consumers
 * held, trimming. Every process of a group does it; whoever comes first has done it for all.
 *
 * @module
 */

import { describeError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import type { Broker } from "./broker.ts";

/** At least so often, in milliseconds: another process may have made something due of which this one knows nothing. */
const everyMs = 1_000;

/** Not more often, in milliseconds, also when leases are very short. */
const leastMs = 10;

/** So long after its last word, in milliseconds, a consumer counts as gone. */
export const staleMs = 10_000;

// So many settled messages are worth a trim of their own.
const trimAfter = 5_000;

/** Tends one group. */
export class Keeper {
  readonly #broker: Broker;
  readonly #group: string;
  readonly #logger: Logger;
  readonly #consumers = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueAt = Infinity;
  #running = false;
  #settled = 0;

  /**
   * @param broker The servers.
   * @param group Which group.
   * @param logger Where failures are told; they are tried again.
   */
  constructor(broker: Broker, group: string, logger: Logger) {
    this.#broker = broker;
    this.#group = group;
    this.#logger = logger;
  }

  /** Begins for a consumer with a lease. */
  add(consumer: string, leaseMs: number): void {
    this.#consumers.set(consumer, leaseMs);
    this.within(leastMs);
  }

  /** Ends for a consumer. @returns Whether it was the last. */
  remove(consumer: string): boolean {
    this.#consumers.delete(consumer);
    if (this.#consumers.size > 0) return false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return true;
  }

  /** Tends the group within so many milliseconds. */
  within(ms: number): void {
    if (this.#consumers.size === 0) return;
    const dueAt = performance.now() + Math.max(leastMs, ms);
    if (dueAt >= this.#dueAt && (this.#timer !== undefined || this.#running)) return;
    this.#dueAt = dueAt;
    if (this.#running) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#tend(), Math.max(leastMs, ms));
  }

  /** Counts what was settled, so that a busy queue is trimmed often enough. */
  settled(count: number): void {
    this.#settled += count;
    if (this.#settled < trimAfter) return;
    this.#settled = 0;
    this.within(leastMs);
  }

  async #tend(): Promise<void> {
    this.#timer = undefined;
    this.#running = true;
    this.#dueAt = Infinity;
    const args = [this.#group, String(staleMs)];
    for (const [consumer, leaseMs] of this.#consumers) args.push(consumer, String(leaseMs));
    let waitMs = everyMs;
    try {
      const replies = await Promise.all(
        this.#broker.partitions.map(({ partition }) => this.#broker.run("tend", partition, args, "tend a group")),
      );
      for (const reply of replies) {
        const [dueMs, more] = reply as readonly [number, number];
        if (more === 1) waitMs = leastMs;
        else if (dueMs >= 0) waitMs = Math.min(waitMs, dueMs);
      }
    } catch (error) {
      this.#logger.debug(`Cannot tend the group ${this.#group}, will try again: ${describeError(error)}`);
    }
    this.#running = false;
    const asked = this.#dueAt - performance.now();
    this.#dueAt = Infinity;
    this.within(Math.min(waitMs, asked));
  }
}
