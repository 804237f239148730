/**
 * The variables that are set, with secrets hidden, and slips in their names.
 *
 * @module
 */

import { knownVariables, readEnvironment } from "../environment.ts";
import { hidden, hideCredentials, isSecret } from "../redact.ts";
import { Notes, type Section } from "./finding.ts";

const ours = /^(?:MESSAGE_QUEUE|ABE_MQ|ABSTRACT_BACKEND|QUEUE_BACKEND|MESSAGEQUEUE|ABEMQ)/;

/**
 * Looks at the variables.
 *
 * @param fromFile The names that `.env` gave.
 * @returns What was found.
 */
export function examineVariables(fromFile: readonly string[]): Section {
  const notes = new Notes("variables");
  const env = readEnvironment();
  const set = Object.keys(env).filter((name) => env[name] && (ours.test(name) || knownVariables.includes(name))).sort();
  if (set.length === 0) notes.fact("None is set");
  for (const name of set) {
    const value = env[name] ?? "";
    const from = fromFile.includes(name) ? " (.env)" : "";
    const isKnown = knownVariables.includes(name);
    // What nobody knows may be a password whose name has a slip in it.
    notes.fact(`${name}=${!isKnown || isSecret(name) ? hidden : hideCredentials(value)}${from}`);
    if (isKnown) continue;
    const near = nearest(name, knownVariables.filter((each) => !env[each]));
    if (near !== undefined) {
      notes.warning(`${name} is read by nothing in this package`, `if ${near} is meant, rename it`);
    }
  }
  if (env["MESSAGE_QUEUE_BACKEND"] && env["QUEUE_BACKEND"]) {
    notes.warning("QUEUE_BACKEND is not looked at, as MESSAGE_QUEUE_BACKEND is set", "unset QUEUE_BACKEND");
  }
  return notes;
}

// Two slips of the pen at most: more is another name.
const mostSlips = 2;

function nearest(name: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = mostSlips + 1;
  for (const each of names) {
    const distance = editDistance(name, each);
    if (distance < least) [best, least] = [each, distance];
  }
  return best;
}

/**
 * How many letters differ (Levenshtein).
 *
 * @param a A text.
 * @param b Another one.
 * @returns The number of insertions, deletions and changes between them.
 */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
