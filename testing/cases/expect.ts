/**
 * What several cases assert in the same words.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Body, MessageQueueError, type MessageQueueErrorCode } from "../../mod.ts";
import type { KitPayload } from "../worker.ts";

/**
 * Asserts that a call is refused, whether it throws at once or rejects.
 *
 * @param code The error's code wanted.
 * @param call What is to be refused.
 * @param what What it is, for the error.
 */
export async function refused(code: MessageQueueErrorCode, call: () => unknown, what: string): Promise<void> {
  const error = await failure(call, what);
  assert.ok(error instanceof MessageQueueError, `${what} must be refused by a MessageQueueError, not by ${error}`);
  assert.equal(error.code, code, `${what} must be refused with code ${code}: ${error.message}`);
}

/**
 * Asserts that a call is misuse: a TypeError or a RangeError.
 *
 * @param call What is wrong.
 * @param what What it is, for the error.
 */
export async function misuse(call: () => unknown, what: string): Promise<void> {
  const error = await failure(call, what);
  assert.ok(error instanceof TypeError || error instanceof RangeError, `${what} must be a TypeError, not ${error}`);
}

/**
 * Asserts that a call fails.
 *
 * @param call What fails.
 * @param what What it is, for the error.
 * @returns What it threw.
 */
export async function failure(call: () => unknown, what: string): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: `${what} must fail, and did not` });
}

/**
 * Asserts that numbers are just these, each once, in any order.
 *
 * @param numbers What came.
 * @param wanted What should have come.
 * @param what What it is, for the error.
 */
export function each(numbers: readonly number[], wanted: readonly number[], what: string): void {
  const sorted = (all: readonly number[]) => all.toSorted((a, b) => a - b);
  assert.deepEqual(sorted(numbers), sorted(wanted), `${what}: each once, none missing, none else`);
}

/**
 * The number that a message's payload has by which it is known.
 *
 * @param message A claim or a dead letter: its body is text, or that text's bytes.
 * @returns The number.
 */
export function numberOf({ body }: { readonly body: Body }): number {
  const text = typeof body === "string" ? body : new TextDecoder().decode(body);
  return (JSON.parse(text) as KitPayload).n;
}

/**
 * The numbers from `from` on.
 *
 * @param count How many.
 * @param from The first.
 * @returns The numbers.
 */
export function range(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, n) => from + n);
}
