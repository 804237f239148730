/** What the tests of the SQLite backend share. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteBackend, type SqliteOptions } from "../../../backends/sqlite.ts";
import type { Claim, Receiver, Settlement } from "../../../core/backend.ts";
import { createMessage, type Message, type PublishOptions } from "../../../core/message.ts";

/** How long a test may take, in milliseconds: machines are noisy. */
export const timeout = 60_000;

/** Runs a test in a folder of its own, with backends that are closed after it. */
export async function inFolder(test: (folder: Folder) => Promise<void>): Promise<void> {
  const folder = new Folder();
  try {
    await test(folder);
  } finally {
    await folder.close();
  }
}

/** A temporary folder. */
export class Folder {
  readonly path: string = mkdtempSync(join(tmpdir(), "abe-mq-sqlite-"));
  readonly #backends: SqliteBackend[] = [];

  get file(): string {
    return join(this.path, "queue.db");
  }

  /** Opens a backend on the folder's file. */
  open(options: SqliteOptions = {}): SqliteBackend {
    const backend = new SqliteBackend({ path: this.file, ...options });
    this.#backends.push(backend);
    return backend;
  }

  async close(): Promise<void> {
    for (const backend of this.#backends) await backend[Symbol.asyncDispose]();
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A message with a number in its payload. */
export function message(n: number, options: PublishOptions & { key?: string } = {}): Message {
  return createMessage(options.key ?? "test.message", { n }, options);
}

/** Messages with the numbers from 0. */
export function messages(count: number, options: PublishOptions & { key?: string } = {}): Message[] {
  return Array.from({ length: count }, (_, n) => message(n, options));
}

/** The number in a payload. */
export function numberOf(claim: { readonly body: string | Uint8Array }): number {
  return (JSON.parse(String(claim.body)) as { n: number }).n;
}

/** Pulls once; fails when nothing comes. */
export async function pull(receiver: Receiver, max = 100): Promise<readonly Claim[]> {
  const signal = AbortSignal.timeout(20_000);
  const claims = await receiver.pull({ max, signal });
  assert.ok(claims.length > 0, "nothing came within 20 s");
  return claims;
}

/** Pulls once and wants nothing to come for a moment. */
export async function pullNothing(receiver: Receiver, ms = 150): Promise<void> {
  const claims = await receiver.pull({ max: 100, signal: AbortSignal.timeout(ms) });
  assert.deepEqual(claims.map(numberOf), []);
}

/** Pulls until so many came. */
export async function pullCount(receiver: Receiver, count: number): Promise<Claim[]> {
  const claims: Claim[] = [];
  while (claims.length < count) claims.push(...await pull(receiver, count - claims.length));
  return claims;
}

/** Acks claims. */
export function ack(receiver: Receiver, claims: readonly Claim[]): Promise<readonly boolean[]> {
  return receiver.settle(claims.map((claim): Settlement => ({ claim, verb: "ack" })));
}

/** Waits until a condition holds. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 20_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
