/**
 * A consumer that dies without a process of its own: its backend is cut off from the store, so that nothing it does any more gets there.
 *
 * @module
 */

import type { BackendReceiveOptions, MessageQueueBackend, PullOptions, Receiver } from "../mod.ts";

/** A backend that can be cut off. */
export interface Cuttable {
  /** The backend to use. */
  readonly backend: MessageQueueBackend;
  /** Cuts it off, as the death of its process would. */
  cut(): void;
  /** Closes what was left open behind the cut. */
  free(): Promise<void>;
}

/**
 * Makes a backend that can be cut off.
 *
 * @param inner The backend; used by nobody else.
 * @returns The one to use, and how to cut it off.
 */
export function cuttable(inner: MessageQueueBackend): Cuttable {
  const dead = new AbortController();
  const receivers: Receiver[] = [];

  const receive = async (options: BackendReceiveOptions): Promise<Receiver> => {
    if (inner.receive === undefined) throw new TypeError("Cannot cut off a backend without receive");
    const receiver = await inner.receive(options);
    receivers.push(receiver);
    return {
      pull: (pull) => pullUntilDead(receiver, pull, dead.signal),
      settle: (settlements) => dead.signal.aborted ? none(settlements) : receiver.settle(settlements),
      extend: (claims, leaseMs) => dead.signal.aborted ? none(claims) : receiver.extend(claims, leaseMs),
      close: () => dead.signal.aborted ? Promise.resolve() : receiver.close(),
    };
  };

  const backend: MessageQueueBackend = {
    ...(inner.capabilities && { capabilities: inner.capabilities }),
    publish: (key, payload, options) => inner.publish(key, payload, options),
    consume: (options) => inner.consume(options),
    ...(inner.publishMany && { publishMany: inner.publishMany.bind(inner) }),
    ...(inner.groups && { groups: inner.groups }),
    ...(inner.deadLetters && { deadLetters: inner.deadLetters }),
    receive,
  };
  return {
    backend,
    cut: () => dead.abort(),
    async free() {
      dead.abort();
      await Promise.all(receivers.map((receiver) => receiver.close()));
      await inner[Symbol.asyncDispose]?.();
    },
  };
}

// What was being claimed at the time of the death is held by the dead, and nobody hears of it.
async function pullUntilDead(receiver: Receiver, { max, signal }: PullOptions, dead: AbortSignal) {
  if (!dead.aborted) {
    const claims = await receiver.pull({ max, signal: AbortSignal.any([signal, dead]) });
    if (!dead.aborted) return claims;
  }
  if (!signal.aborted) {
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }
  return [];
}

function none(items: readonly unknown[]): Promise<readonly boolean[]> {
  return Promise.resolve(items.map(() => false));
}
