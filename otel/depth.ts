/**
 * Gauges of what waits in a queue.
 *
 * @module
 */

import type { GroupStats, MessageQueue } from "@abe/mq";
import { type BatchObservableResult, type MeterProvider, metrics } from "@opentelemetry/api";
import type { AttributeValues, MeterSource } from "./providers.ts";
import { scope } from "./telemetry.ts";

/** Options of {@linkcode observeDepth}. */
export interface DepthOptions {
  /**
   * Where metrics go.
   *
   * @default {the global one}
   */
  readonly meterProvider?: MeterSource;
  /**
   * Further attributes of all gauges.
   *
   * @default {{}}
   */
  readonly attributes?: AttributeValues;
}

const states: readonly (readonly [state: string, count: (stats: GroupStats) => number])[] = [
  ["ready", (stats) => stats.ready],
  ["delayed", (stats) => stats.delayed],
  ["in_flight", (stats) => stats.inFlight],
  ["dead", (stats) => stats.dead],
];

/**
 * Observes a queue's depth by its `stats`, whenever metrics are collected: `abe_mq.retained` (messages stored), `abe_mq.group.messages` (by group
 * and `abe_mq.state`: `ready`, `delayed`, `in_flight`, `dead`), `abe_mq.group.consumers`, and `abe_mq.group.oldest_age` (seconds).
 *
 * One process of an application is enough: what it counts is the same everywhere.
 *
 * @param queue A queue whose backend declares `stats`.
 * @param options Provider and attributes.
 * @returns Ends the observation when disposed.
 *
 * @example
 * ```ts
 * import { MessageQueue } from "@abe/mq";
 * import { MemoryBackend } from "@abe/mq/memory";
 * import { observeDepth } from "@abe/mq-otel";
 *
 * await using mq = new MessageQueue(new MemoryBackend());
 * using observation = observeDepth(mq);
 * ```
 */
export function observeDepth(queue: MessageQueue, options: DepthOptions = {}): Disposable {
  const { meterProvider, attributes: own = {} } = options;
  const meter = (meterProvider as MeterProvider | undefined ?? metrics.getMeterProvider()).getMeter(scope);
  const retained = meter.createObservableGauge("abe_mq.retained", {
    unit: "{message}",
    description: "Messages that are stored",
  });
  const messages = meter.createObservableGauge("abe_mq.group.messages", {
    unit: "{message}",
    description: "Messages of a group, by their state",
  });
  const consumers = meter.createObservableGauge("abe_mq.group.consumers", {
    unit: "{consumer}",
    description: "Open consumers of a group",
  });
  const oldest = meter.createObservableGauge("abe_mq.group.oldest_age", {
    unit: "s",
    description: "Age of the oldest message that a group has not acked",
  });
  const observe = async (result: BatchObservableResult) => {
    if (queue.state === "closed") return;
    const stats = await queue.stats();
    result.observe(retained, stats.retained, own);
    for (const [name, group] of Object.entries(stats.groups)) {
      const attributes = { "messaging.consumer.group.name": name, ...own };
      for (const [state, count] of states) {
        result.observe(messages, count(group), { ...attributes, "abe_mq.state": state });
      }
      result.observe(consumers, group.consumers, attributes);
      result.observe(oldest, group.oldestAgeMs / 1_000, attributes);
    }
  };
  const observed = [retained, messages, consumers, oldest];
  meter.addBatchObservableCallback(observe, observed);
  return { [Symbol.dispose]: () => meter.removeBatchObservableCallback(observe, observed) };
}
