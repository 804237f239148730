/**
 * Bodies as text for people and for JSON.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Body } from "@abe/mq";

/**
 * A body as text.
 *
 * @param body Text, or bytes.
 * @returns The text; of bytes that are not UTF-8, `base64:` and what they are in base64.
 */
export function showBody(body: Body): string {
  if (typeof body === "string") return body;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return `base64:${Buffer.from(body).toString("base64")}`;
  }
}
