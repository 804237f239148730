/**
 * What spans and metrics say of a message, by OpenTelemetry's conventions for messaging
 * (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/).
 *
 * @module
 */

import { MessageQueueError, type MiddlewareContext } from "@abe/mq";
import type { Attributes } from "@opentelemetry/api";

/** What is done with a message, as spans and metrics call it. */
export type Operation = "publish" | "receive" | "process";

const types: Readonly<Record<Operation, string>> = { publish: "send", receive: "receive", process: "process" };

/** Attributes of metrics: few values each. */
export function metricAttributes(operation: Operation, context: MiddlewareContext, own: Attributes): Attributes {
  return {
    "messaging.system": "abe_mq",
    "messaging.operation.name": operation,
    "messaging.operation.type": types[operation],
    "messaging.destination.name": context.key,
    ...(context.operation === "process" && { "messaging.consumer.group.name": context.group }),
    ...own,
  };
}

/** Attributes of spans. */
export function spanAttributes(operation: Operation, context: MiddlewareContext, own: Attributes): Attributes {
  const { body, id } = context;
  return {
    ...metricAttributes(operation, context, own),
    "messaging.message.id": id,
    "messaging.message.body.size": typeof body === "string" ? new TextEncoder().encode(body).length : body.length,
    ...(context.operation === "publish" && context.batchSize > 1 &&
      { "messaging.batch.message_count": context.batchSize }),
    ...(context.operation === "process" && { "abe_mq.attempt": context.attempt }),
  };
}

/** What kind of error it was: a code or a class, of which there are few. */
export function errorType(error: unknown): string {
  if (error instanceof MessageQueueError) return error.code;
  return error instanceof Error ? error.name : typeof error;
}
