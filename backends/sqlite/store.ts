/**
 * What the parts of the backend share.
 *
 * @module
 */

import type { Body } from "../../core/codec.ts";
import { noHeaders } from "../../core/message.ts";
import type { Connection } from "./connection.ts";
import type { Settings } from "./options.ts";
import type { Signals } from "./signals.ts";
import type { Sweeper } from "./sweep.ts";
import type { Writer } from "./writer.ts";

/** An open file, the exchange in it, and what works on them. */
export interface Store {
  readonly connection: Connection;
  readonly exchangeId: number;
  /** The table that is the exchange's log. */
  readonly log: string;
  readonly settings: Settings;
  readonly writer: Writer;
  /** Wakes consumers in this process. */
  readonly signals: Signals;
  /** Deletes what every group has settled. */
  readonly sweeper: Sweeper;
}

/** A row of a log; every column is null where a left join found none. */
export interface LogRow {
  readonly position: number;
  readonly id: string;
  readonly key: string;
  readonly body: Body;
  readonly content_type: string | null;
  readonly headers: string | null;
  readonly published_at: number;
  readonly available_at: number | null;
  readonly ordering_key: string | null;
  readonly only_group: number | null;
}

/** Headers as they were given. */
export function decodeHeaders(text: string | null): Readonly<Record<string, string>> {
  return text === null ? noHeaders : JSON.parse(text) as Record<string, string>;
}

// Starts a body that is stored as a JSON string; no JSON text starts with it.
const escape = "\u001b";
const escapeCode = 0x1b;

/**
 * A body as it is stored. Bytes are, and so is text that is JSON, for people who look into the file. Other text may hold what SQLite's text
 * cannot: the character that ends a string in C, or half a surrogate pair.
 */
export function encodeBody(body: Body): Body {
  if (typeof body !== "string") return body;
  if (!body.includes("\0") && body.charCodeAt(0) !== escapeCode && body.isWellFormed()) return body;
  return escape + JSON.stringify(body);
}

/** A body as it was given. */
export function decodeBody(stored: Body): Body {
  if (typeof stored !== "string") return stored;
  return stored.charCodeAt(0) === escapeCode ? JSON.parse(stored.slice(1)) as string : stored;
}

/** A time or duration as the whole number that is stored; one that is too long for a number is as good as never. */
export function wholeMs(ms: number): number {
  return Math.min(Math.ceil(ms), Number.MAX_SAFE_INTEGER);
}

/** Text from elsewhere as it can be stored: well-formed, and without the character that ends a string in C. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\ufffd");
}
