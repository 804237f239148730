/**
 * A message in a receiver's hands.
 *
 * @module
 */

import type { Claim } from "../../core/backend.ts";

/** A claim, and where its row is. */
export interface SqliteClaim extends Claim {
  readonly position: number;
  /** Differs for each pull: a row that holds another is someone else's by now. */
  readonly token: number;
  /** Those of the same pull. */
  readonly batch: ClaimBatch;
  /** Its place among them. */
  readonly index: number;
  settled: boolean;
}

/** What one pull claimed. */
export interface ClaimBatch {
  /** By position. */
  readonly claims: readonly SqliteClaim[];
  /** How many are not settled. */
  open: number;
}
