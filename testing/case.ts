/**
 * One case of the kit.
 *
 * @module
 */

import type { CaseContext } from "./context.ts";
import type { How, Need } from "./harness.ts";

/** One case. */
export interface ConformanceCase {
  /** What is true of a backend that passes: a sentence in plain words, unique. */
  readonly name: string;
  /** The promise it belongs to, from 1 to 14; 0 for the protocol itself. */
  readonly promise: number;
  /** Runs only where all of these are there. */
  readonly needs?: readonly Need[];
  /** Runs only where this is not there: asserts that it is emulated or refused. */
  readonly lacks?: Need;
  /**
   * What passing shows.
   *
   * @default {"native"}
   */
  readonly how?: How;
  /** Tries it; throws when it does not hold. */
  run(context: CaseContext): Promise<void>;
}
