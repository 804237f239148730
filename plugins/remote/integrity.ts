/**
 * Digests: SHA-256, SHA-384 and SHA-512 as Subresource Integrity writes them (https://www.w3.org/TR/SRI/), or in hexadecimal.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { ConfigError, MessageQueueError } from "../../core/errors.ts";
import { showUrl } from "./url.ts";

/** A digest, taken apart. */
export interface Digest {
  /** The algorithm. */
  readonly algorithm: "sha256" | "sha384" | "sha512";
  /** Its value in hexadecimal. */
  readonly hex: string;
}

const lengths: Readonly<Record<string, number>> = { sha256: 32, sha384: 48, sha512: 64 };

/**
 * Reads a digest.
 *
 * @param text `sha256-`, `sha384-` or `sha512-` and the value in base64, base64url or hexadecimal.
 * @param where What gives it, for the error.
 * @returns The digest.
 * @throws {ConfigError} When it is none.
 */
export function parseDigest(text: string, where: string): Digest {
  const match = /^(sha256|sha384|sha512)-([A-Za-z0-9+/_-]+={0,2})$/.exec(text.trim());
  const algorithm = match?.[1] as Digest["algorithm"] | undefined;
  const value = match?.[2];
  if (algorithm !== undefined && value !== undefined) {
    const length = lengths[algorithm];
    const hex = /^[0-9a-f]+$/i.test(value) && value.length === (length ?? 0) * 2
      ? value.toLowerCase()
      : hexOfBase64(value);
    if (hex.length === (length ?? 0) * 2) return { algorithm, hex };
  }
  throw new ConfigError([
    `${where} must be a digest such as \`sha256-\` and 44 characters of base64, got ${
      JSON.stringify(text.slice(0, 100))
    }`,
  ]);
}

function hexOfBase64(base64: string): string {
  const plain = base64.replaceAll("-", "+").replaceAll("_", "/").replace(/=+$/, "");
  try {
    return [...atob(plain)].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  } catch {
    return "";
  }
}

/**
 * The SHA-256 of some bytes in hexadecimal.
 *
 * @param bytes The bytes, or text as UTF-8.
 * @returns 64 digits.
 */
export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * Writes a SHA-256 the way lock files and import maps do.
 *
 * @param hex Its value in hexadecimal.
 * @returns `sha256-` and base64.
 */
export function formatDigest(hex: string): string {
  const bytes = hex.match(/../g) ?? [];
  return `sha256-${btoa(String.fromCharCode(...bytes.map((byte) => Number.parseInt(byte, 16))))}`;
}

/**
 * Compares bytes with the digest that they must have.
 *
 * @param bytes The bytes.
 * @param digest The digest.
 * @param url What they were served for.
 * @param source What gives the digest, for the error.
 * @throws {MessageQueueError} `plugin_refused` when they differ.
 */
export function checkDigest(bytes: Uint8Array, digest: Digest, url: URL | string, source: string): void {
  const found = createHash(digest.algorithm).update(bytes).digest("hex");
  if (found === digest.hex) return;
  throw new MessageQueueError(
    "plugin_refused",
    `Cannot load ${
      showUrl(url)
    }: its ${digest.algorithm} is not the one that ${source} gives. Expected ${digest.hex}, found ${found}. ` +
      "Either somebody changed the code, or the digest is of another version; look at what changed before you pin it anew",
  );
}
