/**
 * Writing to standard output so that it is known what arrived.
 *
 * @module
 */

import { write } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const standardOutput = 1;
// A pipe that is full and does not block is tried again after so long.
const fullMs = 5;

/**
 * Writes to standard output past the runtime's own buffers: when a write resolves, the system has it.
 */
export class LineWriter {
  /**
   * Writes a text whole.
   *
   * @param text The text.
   * @throws What the system says, such as `EPIPE` when nobody reads any more.
   */
  async write(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    for (let offset = 0; offset < bytes.length;) {
      try {
        offset += await writeSome(bytes.subarray(offset));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
        await sleep(fullMs);
      }
    }
  }
}

function writeSome(bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(standardOutput, bytes, (error, written) => error ? reject(error) : resolve(written));
  });
}
