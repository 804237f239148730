/**
 * Tar archives (POSIX ustar), written by hand: all that npm's format needs.
 *
 * @module
 */

import { gzipSync } from "node:zlib";

/**
 * Makes a gzipped archive.
 *
 * @param files Path to text.
 * @returns The archive.
 */
export function tarball(files: ReadonlyMap<string, string>): Uint8Array<ArrayBuffer> {
  const blocks: Uint8Array[] = [];
  for (const [path, text] of files) {
    const body = new TextEncoder().encode(text);
    const padded = new Uint8Array(Math.ceil(body.length / 512) * 512);
    padded.set(body);
    blocks.push(header(path, body.length), padded);
  }
  blocks.push(new Uint8Array(1024));
  const whole = new Uint8Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    whole.set(block, at);
    at += block.length;
  }
  return new Uint8Array(gzipSync(whole));
}

function header(path: string, size: number): Uint8Array {
  if (path.length > 100) throw new RangeError(`Cannot pack ${path}: its name is longer than 100 characters`);
  const block = new Uint8Array(512);
  const put = (at: number, text: string) => block.set(new TextEncoder().encode(text), at);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  put(0, path);
  put(100, octal(0o644, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(0, 11));
  put(148, "        ");
  put(156, "0");
  put(257, "ustar\0" + "00");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}
