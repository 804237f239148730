/**
 * Consumers that are to be killed: what they do, the same in a process of their own and in this one.
 *
 * @module
 */

import type { MessageQueue } from "../mod.ts";

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
    }, { group, leaseMs, prefetch });
    await subscription.closed;
    return;
  }
  for await (const { id, attempt, payload } of queue.receive<KitPayload>({ group, leaseMs, prefetch })) {
    report({ id, attempt, payload });
  }
}
