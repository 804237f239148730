/**
 * What a backend can do, held against what a call asks for.
 *
 * @module
 */

import {
  type Capabilities,
  defaultGroup,
  defaultLeaseMs,
  type DurableBackend,
  type MessageQueueBackend,
  type ReceiveOptions as BackendReceiveOptions,
} from "./backend.ts";
import { checkDuration, checkInteger, maxTimerMs } from "./check.ts";
import { defaultPrefetch } from "./consumer.ts";
import { MessageQueueError } from "./errors.ts";
import { checkFilter, checkName } from "./keys.ts";
import type { PublishOptions } from "./message.ts";
import type { ReceiveOptions, SubscribeOptions } from "./options.ts";

/** Whether a backend's deliveries are settled one by one; else the queue makes do with three methods. */
export function isDurable(backend: MessageQueueBackend): backend is DurableBackend {
  return backend.receive !== undefined && backend.publishMany !== undefined;
}

/**
 * The error of what a backend cannot honour.
 *
 * @param option What was asked for.
 * @param capability What the backend would have to declare.
 * @returns The error, to be thrown.
 */
export function unsupported(option: string, capability: string): MessageQueueError {
  return new MessageQueueError(
    "unsupported",
    `Cannot use ${option}: this backend does not declare the capability \`${capability}\``,
  );
}

/**
 * Refuses options of a publish that the backend cannot honour.
 *
 * @param capabilities What it can.
 * @param options What is asked for.
 * @throws {MessageQueueError} `unsupported`.
 */
export function checkPublish({ delay, ordering, dedup }: Capabilities, options: PublishOptions): void {
  if (options.id !== undefined && !dedup) throw unsupported("id", "dedup");
  if (options.orderingKey !== undefined && !ordering) throw unsupported("orderingKey", "ordering");
  if (delay) return;
  if (options.delayMs !== undefined) throw unsupported("delayMs", "delay");
  if (options.deliverAt !== undefined) throw unsupported("deliverAt", "delay");
}

/** Options of a consumer, checked and complete. */
export interface CheckedReceive extends BackendReceiveOptions {
  readonly prefetch: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Checks options of a consumer, and refuses those that the backend cannot honour.
 *
 * @param backend The backend.
 * @param options What is asked for.
 * @returns The options with their defaults.
 * @throws {TypeError | RangeError} When an option is wrong.
 * @throws {MessageQueueError} `unsupported`.
 */
export function checkReceive(backend: MessageQueueBackend, options: ReceiveOptions): CheckedReceive {
  const { group, keys, leaseMs, signal } = options;
  const { groups, keys: filters, leases } = backend.capabilities ?? {};
  if (group !== undefined) checkName("group", group);
  if (keys !== undefined) checkFilter(keys);
  if (group !== undefined && !groups) throw unsupported("group", "groups");
  if (keys !== undefined && !filters) throw unsupported("keys", "keys");
  if (leaseMs !== undefined && !leases) throw unsupported("leaseMs", "leases");
  const prefetch = checkInteger("prefetch", options.prefetch ?? defaultPrefetch, 1);
  return {
    group: group ?? defaultGroup,
    ...(keys !== undefined && { keys }),
    leaseMs: checkDuration("leaseMs", leaseMs ?? defaultLeaseMs, 100, maxTimerMs),
    prefetch: isDurable(backend) ? prefetch : 1,
    signal,
  };
}

const defaultDrainTimeoutMs = 30_000;

/** Options of a subscription, checked and complete. */
export interface CheckedSubscribe {
  readonly concurrency: number;
  readonly prefetch: number;
  readonly timeoutMs: number | undefined;
  readonly drainTimeoutMs: number;
}

/**
 * Checks what `subscribe` has beyond other consumers.
 *
 * @param backend The backend.
 * @param handler The handler.
 * @param options What is asked for.
 * @returns The options with their defaults.
 * @throws {TypeError | RangeError} When one is wrong.
 * @throws {MessageQueueError} `unsupported`.
 */
export function checkSubscribe(
  backend: MessageQueueBackend,
  handler: unknown,
  options: SubscribeOptions,
): CheckedSubscribe {
  if (typeof handler !== "function") throw new TypeError(`Cannot subscribe ${typeof handler}: a handler is a function`);
  const durable = isDurable(backend);
  const concurrency = checkInteger("concurrency", options.concurrency ?? 1, 1);
  if (concurrency > 1 && !durable && !backend.capabilities?.groups) throw unsupported("concurrency", "groups");
  const { timeoutMs, drainTimeoutMs = defaultDrainTimeoutMs, prefetch } = options;
  if (timeoutMs !== undefined) checkDuration("timeoutMs", timeoutMs, 1, maxTimerMs);
  checkDuration("drainTimeoutMs", drainTimeoutMs, 0, maxTimerMs);
  if (prefetch !== undefined) checkInteger("prefetch", prefetch, 1);
  return {
    concurrency,
    // More would lie in the buffer of a backend that can only give one message for each iteration.
    prefetch: durable ? Math.max(prefetch ?? defaultPrefetch, prefetch ?? concurrency) : concurrency,
    timeoutMs,
    drainTimeoutMs,
  };
}
