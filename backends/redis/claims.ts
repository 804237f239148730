/**
 * What a receiver holds.
 *
 * @module
 */

import type { Claim } from "../../core/backend.ts";
import type { StoredMessage } from "./record.ts";

/** Claims that came by one read. */
export interface Batch {
  /** The claims. */
  readonly claims: RedisClaim[];
  /** How many of them are not settled. */
  open: number;
}

/** A claim, and where to find it. */
export interface RedisClaim extends Claim {
  /** Its partition. */
  readonly partition: number;
  /** The id in the stream of a first delivery, else the token: see `names.ts`. */
  readonly ref: string;
  /** What came with it. */
  readonly batch: Batch;
  /** Until when nobody else can have taken it over, by `performance.now()`. */
  safeUntil: number;
  /** Whether it is settled, or lost. */
  settled: boolean;
  /** Whether it was asked to be settled and no answer came. */
  unsure: boolean;
}

/**
 * Makes a claim and adds it to its batch.
 *
 * @returns The claim.
 */
export function makeClaim(
  message: StoredMessage,
  attempt: number,
  partition: number,
  ref: string,
  batch: Batch,
  safeUntil: number,
): RedisClaim {
  const { id, key, body, headers, publishedAt, orderingKey } = message;
  const claim: RedisClaim = orderingKey === undefined
    ? { id, key, body, headers, publishedAt, attempt, partition, ref, batch, safeUntil, settled: false, unsure: false }
    : {
      id,
      key,
      body,
      headers,
      publishedAt,
      attempt,
      orderingKey,
      partition,
      ref,
      batch,
      safeUntil,
      settled: false,
      unsure: false,
    };
  batch.claims.push(claim);
  batch.open++;
  return claim;
}

/** Whether a reference is a stream id: the claim is a first delivery, pending in the stream. */
export function isPending(ref: string): boolean {
  // Tokens end in a letter.
  return ref.charCodeAt(ref.length - 1) < 0x3a;
}
