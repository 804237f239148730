/**
 * What is known about code before it is fetched: digests, redirects and versions, from the lock and from import maps.
 *
 * @module
 */

import { MessageQueueError } from "../../core/errors.ts";
import { type Digest, formatDigest, parseDigest } from "./integrity.ts";
import { showUrl } from "./url.ts";

/** The name of the lock file. */
export const lockFileName = "abe-mq.lock.json";

/** What a lock file says. */
export interface Lock {
  /** `jsr:` specifier to the exact version. */
  readonly jsr: ReadonlyMap<string, string>;
  /** URL to the URL that it redirects to in the end. */
  readonly redirects: ReadonlyMap<string, string>;
  /** URL to digest. */
  readonly modules: ReadonlyMap<string, string>;
}

/** An expected digest, and what expects it. */
export interface Expected {
  /** The digest. */
  readonly digest: Digest;
  /** What gives it, for messages. */
  readonly source: string;
}

/** How strict loading is. */
export interface Pins {
  /** The lock, when there is one. */
  readonly lock?: { readonly content: Lock; readonly path: string } | undefined;
  /** Digests by URL, of the map and the options. */
  readonly integrity: Map<string, string>;
  /** The digest of the entry. */
  readonly entryDigest?: string | undefined;
  /** Whether only the lock counts. */
  readonly frozen?: boolean;
  /** Why nothing may be loaded that is not pinned; absent when it may. */
  readonly sealed?: string | undefined;
}

/**
 * The digests that a URL must have, every one of them.
 *
 * @param url The URL, without fragment.
 * @param pins What is known.
 * @returns The digests; none when nothing is known.
 */
export function expectedDigests(url: string, pins: Pins): Expected[] {
  const expected: Expected[] = [];
  const own = pins.integrity.get(url);
  if (own !== undefined) {
    expected.push({ digest: parseDigest(own, `the integrity of ${showUrl(url)}`), source: "its integrity" });
  }
  const locked = pins.lock?.content.modules.get(url);
  if (pins.lock !== undefined && locked !== undefined) {
    const source = pins.lock.path;
    expected.push({ digest: parseDigest(locked, `${source}: the digest of ${showUrl(url)}`), source });
  }
  return expected;
}

/**
 * Refuses what is not pinned where everything must be.
 *
 * @param what The URL or specifier.
 * @param pins What is known.
 * @throws {MessageQueueError} `plugin_refused`.
 */
export function checkSealed(what: string, pins: Pins): void {
  if (pins.sealed === undefined) return;
  throw new MessageQueueError(
    "plugin_refused",
    `Cannot load ${showUrl(what)}: ${pins.sealed}, and it is not in ${pins.lock?.path ?? lockFileName}. ` +
      "Pin it by `mq plugins lock` (of jsr:@abe/mq-cli) or `lockPlugins()`",
  );
}

/** What was loaded, as a lock records it. */
export class Recorder {
  /** `jsr:` specifier to the exact version. */
  readonly jsr: Map<string, string> = new Map();
  /** URL to the URL that it redirects to in the end. */
  readonly redirects: Map<string, string> = new Map();
  /** URL to digest. */
  readonly modules: Map<string, string> = new Map();

  /**
   * Records a module.
   *
   * @param requested Where it was asked for.
   * @param url Where it was found.
   * @param hex Its SHA-256.
   * @throws {MessageQueueError} `plugin_refused` when the same URL gave other bytes a moment before.
   */
  add(requested: string, url: string, hex: string): void {
    if (requested !== url) this.redirects.set(requested, url);
    const digest = formatDigest(hex);
    const before = this.modules.get(url);
    if (before !== undefined && before !== digest) {
      throw new MessageQueueError(
        "plugin_refused",
        `Cannot load ${showUrl(url)}: two requests for it got different code`,
      );
    }
    this.modules.set(url, digest);
  }
}
