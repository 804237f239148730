/**
 * OpenTelemetry for `@abe/mq`: spans, metrics and queue depths by the conventions for messaging, on `@opentelemetry/api` alone. Which SDK takes
 * them, if any, is the application's choice; Deno has one built in (`OTEL_DENO=true`).
 *
 * @example
 * ```ts
 * import { MessageQueue } from "@abe/mq";
 * import { MemoryBackend } from "@abe/mq/memory";
 * import { observeDepth, telemetry } from "@abe/mq-otel";
 *
 * await using mq = new MessageQueue(new MemoryBackend());
 * mq.use(telemetry());
 * using observation = observeDepth(mq);
 * await mq.publish("order.created", { id: 1 });
 * ```
 *
 * @module
 */

export { type DepthOptions, observeDepth } from "./depth.ts";
export type { AttributeValues, MeterSource, TracerSource } from "./providers.ts";
export { telemetry, type TelemetryOptions } from "./telemetry.ts";
