/**
 * An open place in a group.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "node:timers";
import type { Claim, GroupOptions, PullOptions, Receiver, Settlement } from "../../core/backend.ts";
import { maxTimerMs } from "../../core/check.ts";
import { MessageQueueError } from "../../core/errors.ts";
import type { ClaimBatch, SqliteClaim } from "./claim.ts";
import { pull, type Pulled } from "./claims.ts";
import { nextDue } from "./due.ts";
import { isBusy, resultCode, storageError } from "./errors.ts";
import { ensureGroup, type GroupRow } from "./groups.ts";
import { extend, settle } from "./settle.ts";
import type { Store } from "./store.ts";
import { maxSize, nextTurn } from "./writer.ts";

// The longest wait without a look at the clock, which may have been set.
const maxWaitMs = 30_000;

// Messages that one pull claims at most: as much as a transaction should hold.
const maxClaims = maxSize;

/** What a receiver tells the backend that opened it. */
export interface ReceiverEvents {
  /** It is closed. */
  closed(receiver: SqliteReceiver): void;
}

/** Pulls and settles messages of one group. */
export class SqliteReceiver implements Receiver {
  /** Its number in the table of consumers. */
  readonly id: number;
  readonly #store: Store;
  readonly #leaseMs: number;
  readonly #events: ReceiverEvents;
  readonly #stopListening: () => void;
  readonly #held = new Set<ClaimBatch>();
  #group: GroupRow;
  #wake: (() => void) | undefined;
  #woken = false;
  #pulling: Promise<unknown> | undefined;
  #closing: Promise<void> | undefined;
  // Whether the last pull found as much as was asked for, so that the next need not look before it takes the lock.
  #likely = true;

  constructor(store: Store, id: number, group: GroupRow, leaseMs: number, events: ReceiverEvents) {
    this.#store = store;
    this.id = id;
    this.#group = group;
    this.#leaseMs = leaseMs;
    this.#events = events;
    this.#stopListening = store.signals.listen(store.exchangeId, (groupId) => {
      if (groupId === undefined || groupId === this.#group.id) this.wake();
    });
  }

  /** The group's number. */
  get groupId(): number {
    return this.#group.id;
  }

  /** When the group vanishes without a consumer. */
  get expiresMs(): number | null {
    return this.#group.expires_ms;
  }

  /** Looks again whether there is something to claim. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  pull(options: PullOptions): Promise<readonly Claim[]> {
    const pulling = this.#pull(options);
    this.#pulling = pulling;
    return pulling;
  }

  async #pull({ max, signal }: PullOptions): Promise<readonly Claim[]> {
    while (this.#closing === undefined && !signal.aborted) {
      this.#woken = false;
      const due = this.#likely ? 0 : this.#nextDue();
      if (due === undefined || due > this.#store.settings.now()) {
        await this.#wait(due, signal);
        continue;
      }
      const { claims, more, gone } = await this.#claim(max, signal);
      if (gone) await this.#rejoin();
      this.#likely = more || gone || claims.length === max;
      if (claims.length > 0) return claims;
    }
    return [];
  }

  #nextDue(): number | undefined {
    try {
      return nextDue(this.#store, this.#group.id);
    } catch (error) {
      // Reading is refused for a moment while another process opens or closes the file; the writer waits for that.
      if (isBusy(error)) return 0;
      throw storageError("read", this.#store.connection.path, error);
    }
  }

  async #claim(max: number, signal: AbortSignal): Promise<Pulled> {
    const claimUpTo = (count: number): Promise<Pulled> =>
      this.#store.writer.submit({
        action: "claim from",
        size: count,
        signal,
        run: () => {
          const token = newToken();
          return pull(this.#store, { groupId: this.#group.id, max: count, leaseMs: this.#leaseMs, token });
        },
        committed: ({ claims }) => {
          if (claims[0] !== undefined) this.#held.add(claims[0].batch);
        },
      });
    try {
      return await claimUpTo(Math.min(max, maxClaims));
    } catch (error) {
      if (signal.aborted && error === signal.reason) return { claims: [], more: false, gone: false };
      if (!(error instanceof MessageQueueError) || resultCode(error.cause) !== 13) throw error;
      // A full disk may still have room for a claim or two, and acking them makes room. The disk may also be cleared by somebody, so the
      // queue is told to try again.
      return await claimUpTo(1).catch((cause: unknown) => {
        throw new MessageQueueError("storage", error.message, { cause, retryable: true });
      });
    }
  }

  // A group that expired while this process slept is made again; one that somebody removed is gone.
  async #rejoin(): Promise<void> {
    const { name, keys, max_attempts: maxAttempts, expires_ms: expiresMs } = this.#group;
    if (expiresMs === null) {
      throw new MessageQueueError("not_found", `Cannot consume for the group ${JSON.stringify(name)}: it was removed`);
    }
    const options: GroupOptions = { keys, maxAttempts, expiresMs };
    this.#group = await this.#store.writer.submit({
      action: "make a group in",
      size: 1,
      run: () => ensureGroup(this.#store, name, options),
    });
  }

  async #wait(due: number | undefined, signal: AbortSignal): Promise<void> {
    if (this.#woken) return await nextTurn();
    const { settings } = this.#store;
    const ms = Math.min(
      due === undefined ? maxWaitMs : Math.max(1, Math.ceil(due - settings.now())),
      maxWaitMs,
      maxTimerMs,
    );
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener("abort", end, { once: true });
      this.#wake = end;
    });
  }

  async settle(settlements: readonly Settlement[]): Promise<readonly boolean[]> {
    if (settlements.length === 0) return [];
    const { held } = await this.#store.writer.submit({
      action: "settle in",
      size: settlements.length,
      run: () => settle(this.#store, this.#group.id, settlements),
      committed: ({ wake }) => {
        for (const { claim } of settlements) this.#forget(claim as SqliteClaim);
        if (wake) this.#store.signals.notify(this.#store.exchangeId, this.#group.id);
      },
    });
    return held;
  }

  #forget(claim: SqliteClaim): void {
    if (claim.settled) return;
    claim.settled = true;
    if (--claim.batch.open === 0) this.#held.delete(claim.batch);
  }

  async extend(claims: readonly Claim[], leaseMs: number): Promise<readonly boolean[]> {
    if (claims.length === 0) return [];
    return await this.#store.writer.submit({
      action: "extend a lease in",
      size: claims.length,
      urgent: true,
      run: () => extend(this.#store, this.#group.id, claims as readonly SqliteClaim[], leaseMs),
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    this.wake();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stopListening();
    try {
      // `wake` comes right after this call, so the pull sees that it is over.
      await this.#pulling?.catch(() => {
        // Its caller has been told.
      });
      const left: Settlement[] = [...this.#held].flatMap((batch) => batch.claims.filter((claim) => !claim.settled))
        .map((claim) => ({ claim, verb: "nack", delayMs: 0 }));
      for (let at = 0; at < left.length; at += maxSize) await this.settle(left.slice(at, at + maxSize));
      await this.#leave();
    } catch (error) {
      // Its leases and its entry among the consumers run out by themselves.
      this.#store.settings.logger.warn("Leaving a group of the SQLite queue failed", error);
    } finally {
      this.#events.closed(this);
    }
  }

  async #leave(): Promise<void> {
    const { connection, settings, writer } = this.#store;
    await writer.submit({
      action: "leave a group of",
      size: 1,
      run: () => {
        connection.run("delete from consumer where id = ?", this.id);
        connection.run("update consumer_group set seen_at = ? where id = ?", settings.now(), this.#group.id);
      },
    });
  }
}

/** A number that no other pull has, in this process or another: 53 random bits. */
export function newToken(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high % 0x200000) * 0x100000000 + low;
}
