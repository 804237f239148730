/**
 * Consumers that are to be killed: what they do, the same in a process of their own and in this one.
 *
 * @module
 */

import type { Delivery, MessageQueue } from "../mod.ts";

/** What a worker does. */
export interface WorkerTask {
  /**
   * `hold` takes messages and settles none. `handle` runs a subscription whose handler acks, but dies of a payload with `poison`.
   * `visit` publishes one message, takes one, closes, and should then end by itself.
   */
  readonly verb: "hold" | "handle" | "visit";
  /** The group. */
  readonly group: string;
  /** The lease, in milliseconds. */
  readonly leaseMs: number;
  /** How much it prefetches. */
  readonly prefetch: number;
}

/** What a worker was handed, told when it was. */
export interface Handed {
  /** The message's id. */
  readonly id: string;
  /** Which attempt it was. */
  readonly attempt: number;
  /** The payload. */
  readonly payload: KitPayload;
}

/** The payloads that the kit publishes. */
export interface KitPayload {
  /** A number by which the message is known. */
  readonly n: number;
  /** Whether it kills who handles it. */
  readonly poison?: boolean;
  /** Present in the markers that the kit puts behind other messages to know when those have come. */
  readonly marker?: string;
}

/**
 * Does a worker's task until it is killed.
 *
 * @param queue The queue to take from.
 * @param task What to do.
 * @param report Told of each message, before anything is done with it.
 * @param die Ends this worker on the spot; never resolves.
 */
export async function work(
  queue: MessageQueue,
  task: WorkerTask,
  report: (handed: Handed) => void,
  die: () => Promise<never>,
): Promise<void> {
  const { group, leaseMs, prefetch } = task;
  if (task.verb === "visit") {
    await queue.publish("kit.visit", { n: -1 } satisfies KitPayload);
    for await (const payload of queue.consume<KitPayload>()) {
      report({ id: "", attempt: 0, payload });
      break;
    }
    await queue.close();
    return;
  }
  if (task.verb === "handle") {
    const subscription = await queue.subscribe<KitPayload>(async ({ id, attempt, payload }) => {
      report({ id, attempt, payload });
      if (payload.poison) await die();
    }, { group, leaseMs, prefetch, drainTimeoutMs: 0 });
    await subscription.closed;
    return;
  }
  // What `receive` hands over is its holder's to keep: by this alone it stays held for as long as the worker lives.
  const held: Delivery<KitPayload>[] = [];
  const renewing = setInterval(() => {
    for (const delivery of held) delivery.extend(leaseMs).catch(lost);
  }, leaseMs / 3);
  try {
    for await (const delivery of queue.receive<KitPayload>({ group, leaseMs, prefetch })) {
      held.push(delivery);
      report({ id: delivery.id, attempt: delivery.attempt, payload: delivery.payload });
    }
  } finally {
    clearInterval(renewing);
  }
}

// Losing what it held is what becomes of a worker that was cut off.
function lost(): void {}
