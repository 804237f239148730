/**
 * Loading a module and everything it imports, breadth first.
 *
 * @module
 */

import { describeError, MessageQueueError } from "../../core/errors.ts";
import { fetchBytes, type FetchContext, type Fetched } from "./fetch.ts";
import { checkDigest, sha256 } from "./integrity.ts";
import type { Jsr } from "./jsr.ts";
import { lex, type Lexed } from "./lex.ts";
import { checkContentType, type Media, mediaOf } from "./media.ts";
import { checkSealed, type Expected, expectedDigests, type Pins, type Recorder } from "./pins.ts";
import { resolveSpecifier } from "./resolve.ts";
import type { Store } from "./store.ts";
import { checkRemoteUrl, showUrl } from "./url.ts";

/** Where one import of a module leads. */
export type Link =
  /** A module of the graph, by its place in it. */
  | { readonly kind: "module"; readonly index: number }
  /** A part of this package. */
  | { readonly kind: "host"; readonly path: string }
  /** Something that the runtime finds. */
  | { readonly kind: "local"; readonly specifier: string }
  /** Nothing: the import is dynamic and fails when the code gets there, as it would without us. */
  | { readonly kind: "broken"; readonly reason: string };

/** A module of a graph. */
export interface GraphModule {
  /** Where it was found, after redirects. */
  readonly url: URL;
  /** What it is. */
  readonly media: Media;
  /** Its text. */
  readonly source: string;
  /** Its imports; absent for JSON. */
  readonly lexed?: Lexed;
  /** Where they lead, one for each place of kind `import`, in order. */
  readonly links: Link[];
}

/** What loading a graph needs. */
export interface GraphContext extends FetchContext {
  /** What is known beforehand. */
  readonly pins: Pins;
  /** Where what was loaded is recorded. */
  readonly recorder: Recorder;
  /** Where bodies are kept; absent to fetch everything anew. */
  readonly store?: Store | undefined;
  /** The registry. */
  readonly jsr: Jsr;
  /** The application's folder. */
  readonly base: URL;
}

interface Wanted {
  readonly url: URL;
  readonly json: boolean;
  readonly from?: URL | undefined;
  readonly optional: boolean;
  readonly settle: (link: Link) => void;
}

/** So many at a time: enough to hide latency, little enough not to annoy a server. */
const concurrency = 8;

/**
 * Loads a graph.
 *
 * @param entry The URL, or the `jsr:` specifier, of its entry.
 * @param context Rules, bounds, places.
 * @returns The modules; the first is the entry.
 * @throws {MessageQueueError} `plugin_refused`, `plugin_not_found`, `plugin_failed` or `timeout`.
 */
export async function loadGraph(entry: string, context: GraphContext): Promise<GraphModule[]> {
  const modules: GraphModule[] = [];
  const known = new Map<string, number>();
  const loading = new Map<string, Promise<GraphModule>>();
  const start = await entryUrl(entry, context);
  let wave: Wanted[] = [{ url: start, json: false, optional: false, settle: () => {} }];
  let bytes = 0;
  for (let depth = 0; wave.length > 0; depth++) {
    if (depth > context.limits.depth) {
      throw tooMuch(entry, `its imports are nested more than ${context.limits.depth} deep`);
    }
    const loaded = await mapLimited(wave, concurrency, (wanted) => loadOnce(wanted, context, loading));
    const next: Wanted[] = [];
    for (const [position, result] of loaded.entries()) {
      const wanted = wave[position];
      if (wanted === undefined) continue;
      if ("broken" in result) {
        wanted.settle({ kind: "broken", reason: result.broken });
        continue;
      }
      const key = `${wanted.json ? "json" : "code"} ${result.url.href}`;
      let index = known.get(key);
      if (index === undefined) {
        index = modules.length;
        if (index >= context.limits.modules) {
          throw tooMuch(entry, `it consists of more than ${context.limits.modules} modules`);
        }
        bytes += result.source.length;
        if (bytes > context.limits.graphBytes) {
          throw tooMuch(entry, `all of it is larger than ${context.limits.graphBytes} bytes`);
        }
        known.set(key, index);
        modules.push(result);
        next.push(...await follow(result, context, entry));
      }
      wanted.settle({ kind: "module", index });
    }
    wave = next;
  }
  return modules;
}

async function entryUrl(entry: string, context: GraphContext): Promise<URL> {
  if (!entry.startsWith("jsr:")) return new URL(entry);
  const { entryDigest, frozen } = context.pins;
  if (entryDigest === undefined || frozen) return await context.jsr.resolve(entry, context);
  // The bytes are what was pinned, whichever version they are found in.
  const url = await context.jsr.resolve(entry, { ...context, pins: { ...context.pins, sealed: undefined } });
  context.pins.integrity.set(url.href, entryDigest);
  return url;
}

async function follow(module: GraphModule, context: GraphContext, entry: string): Promise<Wanted[]> {
  const wanted: Wanted[] = [];
  const places = (module.lexed?.places ?? []).filter((place) => place.kind === "import");
  if (places.length > context.limits.modules) {
    throw tooMuch(entry, `${showUrl(module.url)} has more than ${context.limits.modules} imports`);
  }
  for (const [position, place] of places.entries()) {
    const { specifier, dynamic, type } = place;
    const settle = (link: Link) => {
      module.links[position] = link;
    };
    if (type !== undefined && type !== "json") {
      throw new MessageQueueError(
        "plugin_refused",
        `Cannot load ${showUrl(module.url)}: it imports ${JSON.stringify(specifier)} as ${
          JSON.stringify(type)
        }; only JSON and code can be imported`,
      );
    }
    try {
      const target = await resolveSpecifier(specifier, module.url, context.base);
      if (target.kind === "remote" || target.kind === "jsr") {
        const url = target.kind === "jsr" ? await context.jsr.resolve(target.specifier, context) : target.url;
        wanted.push({ url, json: type === "json", from: module.url, optional: dynamic, settle });
      } else settle(target);
    } catch (error) {
      if (!dynamic || !isAbsent(error)) throw error;
      settle({ kind: "broken", reason: describeError(error) });
    }
  }
  return wanted;
}

type Loaded = GraphModule | { readonly broken: string };

// One request for each URL, so that every import of it gets the same bytes.
async function loadOnce(
  wanted: Wanted,
  context: GraphContext,
  loading: Map<string, Promise<GraphModule>>,
): Promise<Loaded> {
  // Who wants it matters to the rules, so that is part of what is the same.
  const { protocol, host } = wanted.from ?? wanted.url;
  const key = `${wanted.json} ${withoutHash(wanted.url)} ${protocol}${host}`;
  const pending = loading.get(key) ?? loadOne(wanted, context);
  loading.set(key, pending);
  try {
    return await pending;
  } catch (error) {
    if (!wanted.optional || !isAbsent(error)) throw error;
    return { broken: describeError(error) };
  }
}

async function loadOne(wanted: Wanted, context: GraphContext): Promise<GraphModule> {
  const { fetched, hex } = await obtain(wanted.url, wanted.json, context, wanted.from);
  const source = decode(fetched.bytes, fetched.url);
  context.recorder.add(withoutHash(wanted.url), fetched.url.href, hex);
  const media = wanted.json ? "json" : mediaOf(fetched.url, fetched.contentType);
  if (media === "json") return { url: fetched.url, media, source: checkJson(source, fetched.url), links: [] };
  const lexed = await lex(source, { typed: media === "ts", url: fetched.url });
  return { url: fetched.url, media, source, lexed, links: [] };
}

// What a dynamic import does not find is left to fail when it is reached: it is often caught there.
function isAbsent(error: unknown): boolean {
  return error instanceof MessageQueueError && error.code === "plugin_not_found";
}

async function obtain(
  wanted: URL,
  json: boolean,
  context: GraphContext,
  from: URL | undefined,
): Promise<{ fetched: Fetched; hex: string }> {
  const { pins, store, hosts } = context;
  const requested = checkRemoteUrl(wanted, { from, hosts });
  // The lock knows where redirects end; the rules hold for that URL as well.
  const end = pins.lock?.content.redirects.get(requested.href);
  const url = end === undefined ? requested : checkRemoteUrl(new URL(end), { from: requested, hosts });
  const expected = await expectations([requested.href, url.href], context);
  const first = expected[0];
  if (first === undefined || (pins.frozen && !pins.lock?.content.modules.has(url.href))) checkSealed(url.href, pins);
  if (first !== undefined) {
    const cached = await store?.read(url.href, first.digest);
    if (cached !== undefined) {
      checkAll(cached.bytes, url, expected);
      return { fetched: { ...cached, url }, hex: sha256(cached.bytes) };
    }
  }
  const fetched = await fetchBytes(url, context, from);
  if (fetched.url.href !== url.href) {
    expected.push(...await expectations([fetched.url.href], context));
    if (expected.length === 0) checkSealed(fetched.url.href, pins);
  }
  checkAll(fetched.bytes, url, expected);
  checkContentType(fetched, json);
  const hex = sha256(fetched.bytes);
  if (expected.length > 0) {
    for (const { digest } of expected) await store?.write(url.href, digest, fetched);
  }
  return { fetched, hex };
}

async function expectations(urls: readonly string[], context: GraphContext): Promise<Expected[]> {
  const expected: Expected[] = [];
  for (const url of new Set(urls)) {
    expected.push(...expectedDigests(url, context.pins));
    const listed = await context.jsr.expected(url);
    if (listed === undefined) continue;
    // A registry's own list proves that the file arrived whole, not that it is the one that was pinned.
    if (expected.length === 0) checkSealed(url, context.pins);
    expected.push(listed);
  }
  return expected;
}

function checkAll(bytes: Uint8Array, url: URL, expected: readonly Expected[]): void {
  for (const { digest, source } of expected) checkDigest(bytes, digest, url, source);
}

function decode(bytes: Uint8Array, url: URL): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new MessageQueueError("plugin_failed", `Cannot load ${showUrl(url)}: it is not text in UTF-8`, {
      cause: error,
    });
  }
}

function checkJson(source: string, url: URL): string {
  try {
    JSON.parse(source);
    return source;
  } catch (error) {
    throw new MessageQueueError(
      "plugin_failed",
      `Cannot load ${showUrl(url)}: it is not JSON. ${describeError(error)}`,
      {
        cause: error,
      },
    );
  }
}

function withoutHash(url: URL): string {
  const bare = new URL(url.href);
  bare.hash = "";
  return bare.href;
}

function tooMuch(entry: string, why: string): MessageQueueError {
  return new MessageQueueError("plugin_refused", `Cannot load ${showUrl(entry)}: ${why}`);
}

async function mapLimited<T, R>(items: readonly T[], limit: number, map: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failed = false;
  const work = async () => {
    while (next < items.length && !failed) {
      const position = next++;
      try {
        results[position] = await map(items[position] as T);
      } catch (error) {
        // The others stop asking for more, and the first failure is what the caller sees.
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
  return results;
}
