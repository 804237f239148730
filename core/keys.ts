/**
 * Keys and filters: words joined by dots, and AMQP topic patterns over them.
 *
 * The pattern language is that of AMQP 0-9-1, section 3.1.3.3 ("The Topic Exchange Type"): `*` stands for exactly one
 * word and `#` for any number of words, none included.
 *
 * @module
 */

/** The longest key, in UTF-16 code units: what every broker we know of can hold (AMQP's limit is 255 bytes). */
export const maxKeyLength = 255;

/** The filter that every key matches. */
export const everyKey = "#";

/** Control characters have no place in a name that ends up in logs, file names and broker commands. */
// deno-lint-ignore no-control-regex -- it is what finds them
export const control: RegExp = /[\u0000-\u001f\u007f]/;

/**
 * Checks a key.
 *
 * @param key Words joined by dots; any Unicode but control characters, up to 255 UTF-16 code units. `*` and `#` stand
 *   for themselves within a key.
 * @throws {TypeError} When it is not a string, is empty, too long, or holds an empty word or a control character.
 */
export function checkKey(key: string): void {
  if (key === lastKey) return;
  checkName("key", key);
  checkWords("key", key);
  lastKey = key;
}

// The last key that was found good: the same one comes again and again.
let lastKey: string | undefined;

/**
 * Checks a key filter.
 *
 * @param filter An AMQP topic pattern.
 * @throws {TypeError} When it is not one.
 */
export function checkFilter(filter: string): void {
  checkName("keys", filter);
  checkWords("keys", filter);
}

/**
 * Checks the name of something on the broker: a group, an exchange, an ordering key, an id.
 *
 * @param what What it names, for the error.
 * @param name The name.
 * @throws {TypeError} When it is not a string, is empty, longer than 255 UTF-16 code units, not well-formed Unicode, or
 *   holds a control character.
 */
export function checkName(what: string, name: string): void {
  if (typeof name !== "string") throw new TypeError(`Cannot use ${typeof name} as ${what}: it must be a string`);
  if (name === "") throw new TypeError(`Cannot use an empty ${what}`);
  if (name.length > maxKeyLength) {
    throw new TypeError(`Cannot use a ${what} of ${name.length} characters: the limit is ${maxKeyLength}`);
  }
  if (control.test(name)) {
    throw new TypeError(`Cannot use ${JSON.stringify(name)} as ${what}: it holds a control character`);
  }
  if (!name.isWellFormed()) {
    throw new TypeError(`Cannot use ${JSON.stringify(name)} as ${what}: it holds half a surrogate pair`);
  }
}

function checkWords(what: string, name: string): void {
  if (name.startsWith(".") || name.endsWith(".") || name.includes("..")) {
    throw new TypeError(`Cannot use ${JSON.stringify(name)} as ${what}: a word between the dots is empty`);
  }
}

/** Tells whether a key matches. */
export type KeyMatcher = (key: string) => boolean;

/**
 * Compiles a filter.
 *
 * @param filter An AMQP topic pattern: `*` is one word, `#` any number of words, none included.
 * @returns A function that tells whether a key matches.
 * @throws {TypeError} When the filter is not a pattern.
 *
 * @example
 * ```ts
 * import { compileFilter } from "@abe/mq";
 *
 * const matches = compileFilter("order.#");
 * console.assert(matches("order") && matches("order.created.eu") && !matches("user.created"));
 * ```
 */
export function compileFilter(filter: string): KeyMatcher {
  checkFilter(filter);
  if (filter === everyKey) return () => true;
  const words = filter.split(".");
  if (!words.includes("*") && !words.includes("#")) return (key) => key === filter;
  return (key) => matchWords(words, key.split("."));
}

// Greedy matching with one point to go back to, as for shell globs: linear in practice, never exponential, because only
// the last `#` ever needs to give back a word.
function matchWords(pattern: readonly string[], words: readonly string[]): boolean {
  let at = 0;
  let word = 0;
  let lastHash = -1;
  let wordAtHash = 0;
  while (word < words.length) {
    if (pattern[at] === "#") {
      lastHash = at++;
      wordAtHash = word;
    } else if (at < pattern.length && (pattern[at] === "*" || pattern[at] === words[word])) {
      at++;
      word++;
    } else if (lastHash >= 0) {
      at = lastHash + 1;
      word = ++wordAtHash;
    } else {
      return false;
    }
  }
  while (pattern[at] === "#") at++;
  return at === pattern.length;
}
