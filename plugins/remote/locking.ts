/**
 * Writing and checking locks.
 *
 * @module
 */

import { describeError } from "../../core/errors.ts";
import type { RemoteSettings } from "../settings.ts";
import { deadline, fetchBytes } from "./fetch.ts";
import { loadGraph } from "./graph.ts";
import { checkDigest, formatDigest, parseDigest, sha256 } from "./integrity.ts";
import { graphContext, splitDigest } from "./load.ts";
import { readLock, writeLock } from "./lock.ts";
import { showUrl } from "./url.ts";

/**
 * Fetches graphs and locks them.
 *
 * @param specifiers Their entries, perhaps with digests, which must hold.
 * @param settings The settings; nothing is taken from the cache or the lock as it was.
 * @returns What was locked.
 */
export async function lockGraphs(
  specifiers: readonly string[],
  settings: RemoteSettings,
): Promise<{ path: string; specifiers: readonly string[]; modules: ReadonlyMap<string, string> }> {
  const jsr = new Map<string, string>();
  const redirects = new Map<string, string>();
  const modules = new Map<string, string>();
  const { signal, stop } = deadline(settings.timeoutMs, "the plugins to lock");
  try {
    for (const specifier of specifiers) {
      const { specifier: url, digest } = splitDigest(specifier);
      const entry = { specifier: url.startsWith("jsr:") ? url : new URL(url).href, digest };
      const pinned = { digest: digest ?? settings.integrity.get(entry.specifier), locked: false };
      const context = graphContext(entry, pinned, { ...settings, frozen: false }, signal, undefined);
      const { recorder } = context;
      await loadGraph(entry.specifier, { ...context, pins: { ...context.pins, sealed: undefined } });
      for (const [key, value] of recorder.jsr) jsr.set(key, value);
      for (const [key, value] of recorder.redirects) redirects.set(key, value);
      for (const [key, value] of recorder.modules) modules.set(key, value);
    }
  } finally {
    stop();
  }
  await writeLock(settings.lock, { jsr, redirects, modules });
  return { path: settings.lock, specifiers, modules };
}

/**
 * Compares what servers have with the lock.
 *
 * @param settings The settings.
 * @returns What differs.
 */
export async function verifyLock(
  settings: RemoteSettings,
): Promise<{ path: string; checked: number; problems: { url: string; problem: string }[] }> {
  const lock = await readLock(settings.lock, true);
  const problems: { url: string; problem: string }[] = [];
  const { signal, stop } = deadline(settings.timeoutMs, "the plugins to verify");
  const context = graphContext({ specifier: "https://lock.invalid/" }, { locked: false }, settings, signal, undefined);
  const check = async (url: string, compare: (end: string, bytes: Uint8Array) => void) => {
    try {
      const fetched = await fetchBytes(new URL(url), context);
      compare(fetched.url.href, fetched.bytes);
    } catch (error) {
      problems.push({ url: showUrl(url), problem: describeError(error) });
    }
  };
  try {
    for (const [url, digest] of lock?.modules ?? []) {
      await check(url, (_end, bytes) => checkDigest(bytes, parseDigest(digest, settings.lock), url, settings.lock));
    }
    for (const [url, target] of lock?.redirects ?? []) {
      await check(url, (end) => {
        if (end !== target) {
          problems.push({ url: showUrl(url), problem: `it now leads to ${showUrl(end)}, not to ${showUrl(target)}` });
        }
      });
    }
  } finally {
    stop();
  }
  return { path: settings.lock, checked: (lock?.modules.size ?? 0) + (lock?.redirects.size ?? 0), problems };
}

/**
 * Fetches an entry and writes its digest behind it.
 *
 * @param specifier The entry.
 * @param settings The settings.
 * @returns The URL with its digest.
 */
export async function pinEntry(specifier: string, settings: RemoteSettings): Promise<string> {
  const { specifier: plain } = splitDigest(specifier);
  const { signal, stop } = deadline(settings.timeoutMs, showUrl(plain));
  try {
    const context = graphContext(
      { specifier: plain },
      { locked: false },
      { ...settings, frozen: false },
      signal,
      undefined,
    );
    const url = plain.startsWith("jsr:") ? await context.jsr.resolve(plain, context) : new URL(plain);
    const { bytes } = await fetchBytes(url, context);
    for (const { digest, source } of [await context.jsr.expected(url.href)].filter((each) => each !== undefined)) {
      checkDigest(bytes, digest, url, source);
    }
    return `${url.href}#${formatDigest(sha256(bytes))}`;
  } finally {
    stop();
  }
}
