/**
 * The variables that are set, with secrets hidden, and slips in their names.
 *
 * @module
 */

import process from "node:process";
import { hidden, hideCredentials, isSecret } from "../redact.ts";
import { Notes, type Section } from "./finding.ts";

/** The variables that the package and its own backends read. */
export const knownVariables: readonly string[] = [
  "MESSAGE_QUEUE_BACKEND",
  "QUEUE_BACKEND",
  "ABE_MQ_PLUGIN_URL",
  "ABE_MQ_PLUGINS",
  "ABE_MQ_PLUGIN_HOSTS",
  "ABE_MQ_PLUGIN_FROZEN",
  "ABE_MQ_CACHE_DIR",
  "JSR_URL",
  "MESSAGE_QUEUE_URL",
  "MESSAGE_QUEUE_HOST",
  "MESSAGE_QUEUE_PORT",
  "MESSAGE_QUEUE_USERNAME",
  "MESSAGE_QUEUE_PASSWORD",
  "MESSAGE_QUEUE_VHOST",
  "MESSAGE_QUEUE_PATH",
  "MESSAGE_QUEUE_EXCHANGE",
  "MESSAGE_QUEUE_MAX_LENGTH",
  "MESSAGE_QUEUE_MAX_AGE_MS",
  "MESSAGE_QUEUE_DEDUP_WINDOW_MS",
  "MESSAGE_QUEUE_SYNCHRONOUS",
  "MESSAGE_QUEUE_PARTITIONS",
  "MESSAGE_QUEUE_MIN_REPLICAS",
  "REDIS_URL",
  "ABSTRACT_BACKEND_DEBUG",
  "MESSAGE_QUEUE_BACKEND_DEBUG",
];

const ours = /^(?:MESSAGE_QUEUE|ABE_MQ|ABSTRACT_BACKEND|QUEUE_BACKEND|MESSAGEQUEUE|ABEMQ)/;

/**
 * Looks at the variables.
 *
 * @param fromFile The names that `.env` gave.
 * @returns What was found.
 */
export function examineVariables(fromFile: readonly string[]): Section {
  const notes = new Notes("variables");
  const { env } = process;
  const set = Object.keys(env).filter((name) => env[name] && (ours.test(name) || knownVariables.includes(name))).sort();
  if (set.length === 0) notes.fact("None is set");
  for (const name of set) {
    const value = env[name] ?? "";
    const from = fromFile.includes(name) ? " (.env)" : "";
    notes.fact(`${name}=${isSecret(name) ? hidden : hideCredentials(value)}${from}`);
    if (knownVariables.includes(name)) continue;
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
