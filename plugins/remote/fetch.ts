/**
 * Fetching code and metadata within bounds: redirects by our own rules, sizes and times limited.
 *
 * @module
 */

import { describeError, MessageQueueError } from "../../core/errors.ts";
import { isPermitted } from "../../core/runtime.ts";
import type { Limits } from "./limits.ts";
import { checkRemoteUrl, hideCredentials, type HostList, showUrl } from "./url.ts";

/** What fetching needs to know. */
export interface FetchContext {
  /** The bounds. */
  readonly limits: Limits;
  /** The hosts allowed; absent means all. */
  readonly hosts?: HostList | undefined;
  /** Aborted when the whole takes too long. */
  readonly signal: AbortSignal;
}

/** What was fetched. */
export interface Fetched {
  /** The body. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where it came from in the end. */
  readonly url: URL;
  /** The media type in lower case, without parameters; empty when none was sent. */
  readonly contentType: string;
}

/** What is wanted, for the `accept` header. */
const accept = "application/typescript, text/typescript, text/javascript, application/json;q=0.9, */*;q=0.1";

/**
 * Fetches a URL.
 *
 * @param wanted What to fetch.
 * @param context Bounds and rules.
 * @param from Which module wants it; absent when the application does.
 * @returns The body and where it came from.
 * @throws {MessageQueueError} `plugin_refused` when a rule or bound forbids it, `plugin_not_found` when the server does not have it or
 *   cannot be reached, `timeout` when it takes too long.
 */
export async function fetchBytes(wanted: URL, context: FetchContext, from?: URL): Promise<Fetched> {
  let url = checkRemoteUrl(wanted, { from, hosts: context.hosts });
  const seen = new Set<string>();
  for (;;) {
    if (seen.has(url.href)) throw refused(wanted, `its redirects go round in a circle at ${showUrl(url)}`);
    seen.add(url.href);
    if (seen.size > context.limits.redirects + 1) {
      throw refused(wanted, `it redirects more than ${context.limits.redirects} times`);
    }
    const answer = await request(url, context, from);
    if (!(answer instanceof URL)) return { ...answer, url };
    url = checkRemoteUrl(answer, { from: url, hosts: context.hosts });
  }
}

async function request(
  url: URL,
  context: FetchContext,
  from: URL | undefined,
): Promise<URL | { bytes: Uint8Array<ArrayBuffer>; contentType: string }> {
  checkPermission(url);
  const { stallMs, totalMs } = context.limits;
  const stalled = new AbortController();
  let timer = setTimeout(() => stalled.abort(), stallMs);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stalled.abort(), stallMs);
  };
  try {
    const response = await fetch(url, {
      redirect: "manual",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      headers: { accept },
      signal: AbortSignal.any([context.signal, stalled.signal]),
    });
    alive();
    const target = await redirectTarget(response, url);
    if (target !== undefined) return target;
    if (!response.ok) {
      await response.body?.cancel();
      throw notFound(url, from, `the server answered ${response.status} ${response.statusText}`.trimEnd());
    }
    const contentType = (response.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
    return { bytes: await readBody(response, url, context.limits.moduleBytes, alive), contentType };
  } catch (error) {
    if (error instanceof MessageQueueError) throw error;
    if (context.signal.aborted) throw context.signal.reason ?? timedOut(url, totalMs, "was not loaded");
    if (stalled.signal.aborted) throw timedOut(url, stallMs, "the server sent nothing");
    throw notFound(url, from, `the server cannot be reached (${hideCredentials(reason(error))})`, error);
  } finally {
    clearTimeout(timer);
  }
}

async function redirectTarget(response: Response, url: URL): Promise<URL | undefined> {
  if (![301, 302, 303, 307, 308].includes(response.status)) return undefined;
  await response.body?.cancel();
  const location = response.headers.get("location");
  if (location === null || !URL.canParse(location, url)) {
    throw refused(url, `the server answered ${response.status} with no usable location`);
  }
  return new URL(location, url);
}

async function readBody(
  response: Response,
  url: URL,
  limit: number,
  alive: () => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () => refused(url, `it is larger than ${limit} bytes`);
  if (Number(response.headers.get("content-length") ?? 0) > limit) {
    await response.body?.cancel();
    throw tooLarge();
  }
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    alive();
    length += part.length;
    // Leaving the loop cancels the body, so a stream without end is let go of.
    if (length > limit) throw tooLarge();
    parts.push(part);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

// Asked beforehand, as Deno would prompt on a terminal, and its own message says nothing about plugins.
function checkPermission(url: URL): void {
  const host = `${url.hostname}:${url.port || (url.protocol === "https:" ? 443 : 80)}`;
  if (isPermitted({ name: "net", host })) return;
  throw new MessageQueueError(
    "plugin_refused",
    `Cannot load ${showUrl(url)}: this program may not connect to ${host}; allow it by \`--allow-net=${host}\``,
  );
}

function reason(error: unknown): string {
  const text = describeError(error);
  // Node says only "fetch failed" and hides the rest one level below.
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause === undefined) return text;
  const code = (cause as { code?: unknown }).code;
  return describeError(cause) || String(code ?? text);
}

function refused(url: URL, why: string): MessageQueueError {
  return new MessageQueueError("plugin_refused", `Cannot load ${showUrl(url)}: ${why}`);
}

function notFound(url: URL, from: URL | undefined, why: string, cause?: unknown): MessageQueueError {
  const by = from === undefined ? "" : ` (imported by ${showUrl(from)})`;
  return new MessageQueueError("plugin_not_found", `Cannot load ${showUrl(url)}${by}: ${why}`, { cause });
}

function timedOut(url: URL, ms: number, what: string): MessageQueueError {
  return new MessageQueueError("timeout", `Cannot load ${showUrl(url)}: ${what} within ${ms} ms`);
}

/**
 * A signal for the time that a whole graph may take.
 *
 * @param ms The time, in milliseconds.
 * @param what What is loaded, for the error.
 * @returns The signal, and what stops its clock.
 */
export function deadline(ms: number, what: string): { readonly signal: AbortSignal; readonly stop: () => void } {
  const controller = new AbortController();
  const error = new MessageQueueError("timeout", `Cannot load ${what}: it took longer than ${ms} ms`);
  const timer = setTimeout(() => controller.abort(error), ms);
  return { signal: controller.signal, stop: () => clearTimeout(timer) };
}
