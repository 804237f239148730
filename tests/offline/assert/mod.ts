/**
 * A small stand-in for `@std/assert`, for machines that cannot reach JSR. Only what this repository uses, by the same names.
 *
 * @module
 */

import { inspect, isDeepStrictEqual } from "node:util";

/** Thrown when an assertion fails. */
export class AssertionError extends Error {
  /** @param message What was expected. */
  constructor(message: string) {
    super(message);
    this.name = "AssertionError";
  }
}

// deno-lint-ignore no-explicit-any -- the signature of `@std/assert`, so that constructors with any parameters fit
type ErrorClass<E extends Error> = new (...args: any[]) => E;

/** Fails. */
export function fail(message = "Failed"): never {
  throw new AssertionError(message);
}

/** Holds when the value is truthy. */
export function assert(value: unknown, message = "Expected a truthy value"): asserts value {
  if (!value) fail(message);
}

/** Holds when the value is falsy. */
export function assertFalse(value: unknown, message = "Expected a falsy value"): asserts value is false {
  if (value) fail(message);
}

/** Holds when both are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, message = "Values are not equal"): void {
  if (!isDeepStrictEqual(actual, expected)) fail(`${message}: ${inspect(actual)} is not ${inspect(expected)}`);
}

/** Holds when they differ. */
export function assertNotEquals<T>(actual: T, expected: T, message = "Values are equal"): void {
  if (isDeepStrictEqual(actual, expected)) fail(`${message}: ${inspect(actual)}`);
}

/** Holds when both are the same value. */
export function assertStrictEquals<T>(actual: unknown, expected: T, message = "Not the same"): asserts actual is T {
  if (!Object.is(actual, expected)) fail(`${message}: ${inspect(actual)} is not ${inspect(expected)}`);
}

/** Holds when the value is neither `undefined` nor `null`. */
export function assertExists<T>(actual: T, message = "Expected a value"): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) fail(message);
}

/** Holds when the text contains the other. */
export function assertStringIncludes(actual: string, expected: string, message = "Text not found"): void {
  if (!actual.includes(expected)) fail(`${message}: ${inspect(expected)} is not in ${inspect(actual)}`);
}

/** Holds when the text matches. */
export function assertMatch(actual: string, expected: RegExp, message = "Text does not match"): void {
  if (!expected.test(actual)) fail(`${message}: ${inspect(actual)} is not like ${expected}`);
}

/** Holds when the value is an instance of the class. */
export function assertInstanceOf<E extends Error>(actual: unknown, expected: ErrorClass<E>): asserts actual is E {
  if (!(actual instanceof expected)) fail(`Expected ${expected.name}, got ${inspect(actual)}`);
}

function check<E extends Error>(error: unknown, expected: ErrorClass<E>, includes: string): asserts error is E {
  assertInstanceOf(error, expected);
  assertStringIncludes(error.message, includes);
}

/** Holds when the function throws an error of the class whose text contains `includes`. Returns it. */
export function assertThrows<E extends Error = Error>(
  call: () => unknown,
  expected: ErrorClass<E> = Error as unknown as ErrorClass<E>,
  includes = "",
): E {
  let thrown: { readonly error: unknown } | undefined;
  try {
    call();
  } catch (error) {
    thrown = { error };
  }
  if (!thrown) fail("Expected it to throw");
  const { error } = thrown;
  check(error, expected, includes);
  return error;
}

/** Holds when the promise rejects with an error of the class whose text contains `includes`. Resolves to it. */
export async function assertRejects<E extends Error = Error>(
  call: () => PromiseLike<unknown>,
  expected: ErrorClass<E> = Error as unknown as ErrorClass<E>,
  includes = "",
): Promise<E> {
  let thrown: { readonly error: unknown } | undefined;
  try {
    await call();
  } catch (error) {
    thrown = { error };
  }
  if (!thrown) fail("Expected it to reject");
  const { error } = thrown;
  check(error, expected, includes);
  return error;
}
