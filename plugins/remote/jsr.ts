/**
 * `jsr:` specifiers, by the registry's own metadata (https://jsr.io/docs/api#jsr-registry-api).
 *
 * @module
 */

import { ConfigError, describeError, MessageQueueError } from "../../core/errors.ts";
import { fetchBytes, type FetchContext } from "./fetch.ts";
import { parseDigest } from "./integrity.ts";
import { checkSealed, type Expected, type Pins, type Recorder } from "./pins.ts";
import { quoteName } from "../suggest.ts";
import { showUrl } from "./url.ts";

/** A `jsr:` specifier, taken apart. */
export interface JsrSpecifier {
  /** `@scope/name`. */
  readonly name: string;
  /** The version or range; absent means the latest. */
  readonly range?: string;
  /** `.` or `./` and the name of an export. */
  readonly path: string;
}

/** What resolving needs. */
export interface JsrContext extends FetchContext {
  /** What is known beforehand. */
  readonly pins: Pins;
  /** Where it is recorded. */
  readonly recorder: Recorder;
}

/** Resolves `jsr:` specifiers, asking for each package's metadata once. */
export interface Jsr {
  /** The URL of what a specifier stands for. */
  resolve(specifier: string, context: JsrContext): Promise<URL>;
  /** The digest that a package's manifest gives for a URL. */
  expected(url: string): Promise<Expected | undefined>;
}

/** The registry itself. */
export const defaultRegistry = "https://jsr.io/";

/**
 * Takes a `jsr:` specifier apart.
 *
 * @param specifier Such as `jsr:@scope/name@^1/path`.
 * @returns Its parts.
 * @throws {ConfigError} When it is none.
 */
export function parseJsr(specifier: string): JsrSpecifier {
  const match = /^jsr:\/?(@[a-z0-9-]{1,40}\/[a-z0-9-]{1,80})(?:@([^/@]+))?(\/[^?#]*)?$/.exec(specifier);
  const name = match?.[1];
  if (match === null || name === undefined) {
    throw new ConfigError([
      `${
        quoteName(specifier.slice(0, 200))
      } is not a \`jsr:\` specifier: write \`jsr:@scope/name@^1\` or \`jsr:@scope/name@^1/path\``,
    ]);
  }
  const [, , range, rest] = match;
  const path = rest === undefined || rest === "/" ? "." : `.${rest}`;
  return { name, ...(range !== undefined && { range: decodeURIComponent(range) }), path };
}

interface Manifest {
  /** Ends in a slash. */
  readonly prefix: string;
  readonly files: ReadonlyMap<string, string>;
  readonly exports: ReadonlyMap<string, string>;
}

/**
 * A registry.
 *
 * @param registry Its URL.
 * @returns What resolves specifiers.
 * @throws {ConfigError} When the URL is none.
 */
export function jsrRegistry(registry: string): Jsr {
  if (!/^https?:/i.test(registry) || !URL.canParse(registry)) {
    throw new ConfigError(["JSR_URL must be an `https:` URL (`http:` for loopback)"]);
  }
  const root = new URL(registry.endsWith("/") ? registry : `${registry}/`);
  const versions = new Map<string, Promise<string>>();
  const manifests = new Map<string, Promise<Manifest>>();

  async function version(name: string, range: string | undefined, context: JsrContext): Promise<string> {
    const meta = await fetchJson(new URL(`${name}/meta.json`, root), context, name);
    return await pickVersion(meta, name, range);
  }

  async function manifest(name: string, exact: string, context: JsrContext): Promise<Manifest> {
    const meta = await fetchJson(new URL(`${name}/${exact}_meta.json`, root), context, name);
    const files = new Map<string, string>();
    for (const [path, file] of entries(meta, "manifest")) {
      const checksum = typeof file === "object" && file !== null
        ? (file as { checksum?: unknown }).checksum
        : undefined;
      if (typeof checksum === "string") files.set(path, checksum);
    }
    const raw = (meta as { exports?: unknown }).exports;
    const pairs: [string, unknown][] = typeof raw === "string" ? [[".", raw]] : entries(meta, "exports");
    const exports = new Map(pairs.filter((pair): pair is [string, string] => typeof pair[1] === "string"));
    return { prefix: new URL(`${name}/${exact}/`, root).href, files, exports };
  }

  return {
    async resolve(specifier: string, context: JsrContext): Promise<URL> {
      const { name, range, path } = parseJsr(specifier);
      const locked = context.pins.lock?.content.jsr.get(specifier);
      if (locked !== undefined) {
        context.recorder.jsr.set(specifier, locked);
        return new URL(locked);
      }
      checkSealed(specifier, context.pins);
      const exact = await once(versions, `${name}@${range ?? ""}`, () => version(name, range, context));
      const { prefix, exports, files } = await once(
        manifests,
        `${name}/${exact}`,
        () => manifest(name, exact, context),
      );
      const target = exports.get(path) ?? exports.get(`${path}.ts`);
      if (target === undefined) {
        throw new MessageQueueError(
          "plugin_not_found",
          `Cannot load ${specifier}: ${name}@${exact} exports no ${quoteName(path)}, but ${
            [...exports.keys()].join(", ") || "nothing"
          }`,
        );
      }
      const url = new URL(target, prefix);
      if (!url.href.startsWith(prefix) || !files.has(url.href.slice(prefix.length - 1))) {
        throw new MessageQueueError(
          "plugin_refused",
          `Cannot load ${specifier}: its export is no file of its manifest`,
        );
      }
      context.recorder.jsr.set(specifier, url.href);
      return url;
    },
    async expected(url: string): Promise<Expected | undefined> {
      for (const pending of manifests.values()) {
        const { prefix, files } = await pending;
        if (!url.startsWith(prefix)) continue;
        const source = "the manifest of the JSR registry";
        const checksum = files.get(decodeURI(url.slice(prefix.length - 1)));
        if (checksum === undefined) {
          throw new MessageQueueError("plugin_refused", `Cannot load ${showUrl(url)}: ${source} does not list it`);
        }
        return { digest: parseDigest(checksum, `the checksum of ${showUrl(url)} in ${source}`), source };
      }
      return undefined;
    },
  };
}

async function once<T>(made: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const pending = made.get(key) ?? make();
  made.set(key, pending);
  try {
    return await pending;
  } catch (error) {
    made.delete(key);
    throw error;
  }
}

async function pickVersion(meta: object, name: string, range: string | undefined): Promise<string> {
  const { default: semver } = await import("semver");
  const all = entries(meta, "versions");
  const usable = all.filter(([, info]) => (info as { yanked?: unknown } | null)?.yanked !== true).map(([version]) =>
    version
  )
    .filter((version) => semver.valid(version) === version);
  if (range !== undefined && semver.validRange(range) === null) {
    throw new ConfigError([`${quoteName(range)} in jsr:${name} is neither a version nor a range`]);
  }
  const stable = usable.filter((version) => semver.prerelease(version) === null);
  const pick = range === undefined
    ? semver.maxSatisfying(stable.length > 0 ? stable : usable, "*", { includePrerelease: true })
    : semver.maxSatisfying(usable, range);
  if (pick !== null) return pick;
  const yanked = all.length - usable.length;
  throw new MessageQueueError(
    "plugin_not_found",
    `Cannot load jsr:${name}@${range ?? "*"}: no version fits. The registry has ${
      usable.slice(-10).join(", ") || "none"
    }${yanked > 0 ? `, and ${yanked} that are yanked` : ""}`,
  );
}

async function fetchJson(url: URL, context: FetchContext, name: string): Promise<object> {
  const { bytes } = await fetchBytes(url, context).catch((error: unknown) => {
    if (!(error instanceof MessageQueueError) || error.code !== "plugin_not_found") throw error;
    throw new MessageQueueError(
      "plugin_not_found",
      `Cannot find jsr:${name} in the registry at ${showUrl(new URL("/", url))}: ${error.message}`,
      { cause: error },
    );
  });
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof json === "object" && json !== null) return json;
    throw new TypeError("it is no object");
  } catch (error) {
    throw new MessageQueueError(
      "plugin_failed",
      `Cannot use ${showUrl(url)}: it is not metadata of JSR. ${describeError(error)}`,
      {
        cause: error,
      },
    );
  }
}

function entries(json: object, member: string): [string, unknown][] {
  const value: unknown = Object.hasOwn(json, member) ? (json as Record<string, unknown>)[member] : undefined;
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}
