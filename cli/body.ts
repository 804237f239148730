/**
 * Stored payloads as they can be shown.
 *
 * @module
 */

import type { Claim } from "@abe/mq";
import { Buffer } from "node:buffer";

/** What is known of a payload: decoded where it is JSON, else as it is. */
export type Content = { readonly payload: unknown } | { readonly body: string } | { readonly bodyBase64: string };

/**
 * Reads a stored payload.
 *
 * @param body Text or bytes.
 * @returns The payload, or the body as it is when it is not JSON.
 */
export function readBody(body: Claim["body"]): Content {
  if (typeof body !== "string") return { bodyBase64: Buffer.from(body).toString("base64") };
  try {
    return { payload: JSON.parse(body) };
  } catch {
    return { body }; // undecodable, or of another format: shown as it is
  }
}
