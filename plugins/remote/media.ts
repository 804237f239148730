/**
 * What kind of module a body is.
 *
 * @module
 */

import { MessageQueueError } from "../../core/errors.ts";
import type { Fetched } from "./fetch.ts";
import { showUrl } from "./url.ts";

/** JavaScript, TypeScript, or JSON. */
export type Media = "js" | "ts" | "json";

// `video/mp2t` is what many servers make of `.ts`, and `text/plain` what hosts of raw files send for everything.
const code =
  /^(?:(?:text|application)\/(?:x-)?(?:javascript|ecmascript|typescript|node|tsx?|jsx?)|text\/plain|application\/octet-stream|binary\/octet-stream|video\/(?:mp2t|vnd\.dlna\.mpeg-tts)|text\/vnd\.trolltech\.linguist|)$/;
const data =
  /^(?:(?:application|text)\/(?:[\w.+-]+\+)?json|text\/plain|application\/octet-stream|binary\/octet-stream|)$/;

/**
 * Tells by media type and file name what a module is written in.
 *
 * @param url Where it was found.
 * @param contentType Its media type.
 * @returns TypeScript when either says so, else JavaScript.
 */
export function mediaOf(url: URL, contentType: string): "js" | "ts" {
  return /\.[mc]?tsx?$/.test(url.pathname) || /\/(?:x-)?(?:typescript|tsx?)$/.test(contentType) ? "ts" : "js";
}

/**
 * Refuses what a server itself says is no code, such as the web page of a log-in form.
 *
 * @param fetched What was fetched.
 * @param json Whether JSON is wanted.
 * @throws {MessageQueueError} `plugin_refused`.
 */
export function checkContentType(fetched: Fetched, json: boolean): void {
  const { contentType, url } = fetched;
  if ((json ? data : code).test(contentType)) return;
  const wanted = json
    ? "JSON (`application/json`)"
    : "code (`text/javascript`, `application/typescript`, `text/plain`)";
  throw new MessageQueueError(
    "plugin_refused",
    `Cannot load ${showUrl(url)}: the server says that it is ${
      JSON.stringify(contentType.slice(0, 80))
    }, not ${wanted}`,
  );
}
