/**
 * What a message costs as something grows.
 *
 * @module
 */

import type { DurableBackend, Receiver } from "../core/backend.ts";
import { createMessage, type Message } from "../core/message.ts";
import { inFlight, makeLoad, type Setting } from "./work.ts";

/** What grows, and how far. */
export interface Growth {
  readonly of: "backlog" | "groups" | "keys" | "bytes";
  readonly to: number;
}

/** Microseconds a message, in batches. */
export interface Cost {
  readonly publishUs: number;
  /** Claim and ack. */
  readonly consumeUs: number;
}

const never = new AbortController().signal;

/**
 * Measures the backend alone, in batches of 256.
 *
 * @param open Makes the backend.
 * @param setting Where.
 * @param growth What has grown.
 * @param rounds How many batches; their median counts.
 */
export async function grow(
  open: (setting: Setting) => DurableBackend,
  setting: Setting,
  { of, to }: Growth,
  rounds: number,
): Promise<Cost> {
  const load = await makeLoad(of === "bytes" ? to : "200 B");
  const keys = of === "keys" ? to : 1;
  // Big payloads go in smaller batches: a batch of 256 MB is nobody's.
  const size = of === "bytes" ? Math.max(1, Math.min(inFlight, Math.floor(4_000_000 / to))) : inFlight;
  let n = 0;
  const batch = (): Message[] =>
    Array.from({ length: size }, () => createMessage(`order.key${n % keys}`, load(n++).payload));
  const backend = open(setting);
  if (of === "groups") {
    for (let i = 1; i < to; i++) await backend.groups?.create(`other.${i}`);
  }
  const receiver = await backend.receive({ group: "g", keys: "order.*", leaseMs: 60_000 });
  for (let sent = 0; of === "backlog" && sent < to; sent += size) await backend.publishMany(batch());
  for (let i = 0; i < 5; i++) await once(backend, receiver, batch(), []);
  const costs: Cost[] = [];
  for (let i = 0; i < rounds; i++) await once(backend, receiver, batch(), costs);
  await receiver.close();
  await backend[Symbol.asyncDispose]?.();
  const median = (of: (cost: Cost) => number) => costs.map(of).sort((a, b) => a - b)[costs.length >> 1] ?? NaN;
  return { publishUs: median((cost) => cost.publishUs), consumeUs: median((cost) => cost.consumeUs) };
}

async function once(backend: DurableBackend, receiver: Receiver, messages: Message[], costs: Cost[]): Promise<void> {
  const start = performance.now();
  await backend.publishMany(messages);
  const published = performance.now();
  for (let left = messages.length; left > 0;) {
    const claims = await receiver.pull({ max: left, signal: never });
    await receiver.settle(claims.map((claim) => ({ claim, verb: "ack" })));
    left -= claims.length;
  }
  const consumed = performance.now();
  const us = (ms: number) => ms * 1_000 / messages.length;
  costs.push({ publishUs: us(published - start), consumeUs: us(consumed - published) });
}
