/**
 * Spans and metrics of what a queue publishes and handles.
 *
 * @module
 */

import type { Middleware, MiddlewareContext, ProcessContext, PublishContext } from "@abe/mq";
import {
  type Attributes,
  type Context,
  context as contexts,
  type Counter,
  type Histogram,
  type Link,
  type MeterProvider,
  metrics,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
  type TracerProvider,
} from "@opentelemetry/api";
import type { AttributeValues, MeterSource, TracerSource } from "./providers.ts";
import { errorType, metricAttributes, type Operation, spanAttributes } from "./attributes.ts";

/** The name of this package among the instrumentations. */
export const scope = "@abe/mq-otel";

/** Options of {@linkcode telemetry}. */
export interface TelemetryOptions {
  /**
   * Where spans go.
   *
   * @default {the global one}
   */
  readonly tracerProvider?: TracerSource;
  /**
   * Where metrics go.
   *
   * @default {the global one}
   */
  readonly meterProvider?: MeterSource;
  /**
   * How the span of handling a message belongs to the one of publishing it: a link between two traces, or one trace for both.
   *
   * @default {"link"}
   */
  readonly relation?: "link" | "parent";
  /**
   * Further attributes of all spans and metrics, such as `server.address`.
   *
   * @default {{}}
   */
  readonly attributes?: AttributeValues;
}

// The conventions' advice for durations, in seconds.
const buckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/**
 * A middleware that makes spans and metrics, for `mq.use`.
 *
 * Each published message gets a `publish` span, whose context travels in the message's headers (W3C `traceparent`, `tracestate`, `baggage`, or whatever
 * propagator is set); headers that already carry a context are left alone, and linked. Each message handled gets a `process` span, in which the handler
 * runs, and in a loop a `receive` span before it. Metrics: `messaging.client.sent.messages`, `messaging.client.consumed.messages`,
 * `messaging.client.operation.duration`, `messaging.process.duration`.
 *
 * Added first, it measures what the application does; added last, it sees other middlewares fail, too.
 *
 * @param options Providers, relation, attributes.
 * @returns The middleware.
 *
 * @example
 * ```ts
 * import { MessageQueue } from "@abe/mq";
 * import { MemoryBackend } from "@abe/mq/memory";
 * import { telemetry } from "@abe/mq-otel";
 *
 * await using mq = new MessageQueue(new MemoryBackend());
 * mq.use(telemetry());
 * await mq.publish("order.created", { id: 1 });
 * ```
 */
export function telemetry(options: TelemetryOptions = {}): Middleware {
  const recorder = new Recorder(options);
  return (context, next) =>
    context.operation === "publish" ? recorder.publish(context, next) : recorder.process(context, next);
}

class Recorder {
  readonly #tracer: Tracer;
  readonly #attributes: Attributes;
  readonly #parents: boolean;
  readonly #sent: Counter;
  readonly #consumed: Counter;
  readonly #operation: Histogram;
  readonly #process: Histogram;

  constructor({ tracerProvider, meterProvider, relation, attributes = {} }: TelemetryOptions) {
    this.#tracer = (tracerProvider as TracerProvider | undefined ?? trace.getTracerProvider()).getTracer(scope);
    this.#attributes = attributes;
    this.#parents = relation === "parent";
    const meter = (meterProvider as MeterProvider | undefined ?? metrics.getMeterProvider()).getMeter(scope);
    const duration = { unit: "s", advice: { explicitBucketBoundaries: buckets } };
    this.#sent = meter.createCounter("messaging.client.sent.messages", {
      unit: "{message}",
      description: "Messages that were to be stored; those with error.type were not",
    });
    this.#consumed = meter.createCounter("messaging.client.consumed.messages", {
      unit: "{message}",
      description: "Messages that were handed over",
    });
    this.#operation = meter.createHistogram("messaging.client.operation.duration", {
      ...duration,
      description: "How long publishing took",
    });
    this.#process = meter.createHistogram("messaging.process.duration", {
      ...duration,
      description: "How long handling took",
    });
  }

  async publish(context: PublishContext, next: () => Promise<void>): Promise<void> {
    const given = trace.getSpanContext(propagation.extract(ROOT_CONTEXT, context.headers));
    const span = this.#span("publish", context, SpanKind.PRODUCER, given === undefined ? [] : [{ context: given }]);
    const active = trace.setSpan(contexts.active(), span);
    // A message that is passed on keeps the context in which it was made.
    if (given === undefined) propagation.inject(active, context.headers);
    await this.#measure("publish", context, span, active, next);
  }

  async process(context: ProcessContext, next: () => Promise<void>): Promise<void> {
    const extracted = propagation.extract(ROOT_CONTEXT, context.headers);
    const made = trace.getSpanContext(extracted);
    const links = made === undefined ? [] : [{ context: made }];
    let around = contexts.active();
    const baggage = propagation.getBaggage(extracted);
    if (baggage !== undefined) around = propagation.setBaggage(around, baggage);
    const isParent = this.#parents && made !== undefined;
    if (isParent) around = trace.setSpanContext(around, made);
    // A loop asks for messages; a subscription is given them.
    if (context.via !== "subscribe") this.#span("receive", context, SpanKind.CLIENT, links, around).end();
    const span = this.#span("process", context, SpanKind.CONSUMER, isParent ? [] : links, around);
    await this.#measure("process", context, span, trace.setSpan(around, span), next);
  }

  #span(
    operation: Operation,
    context: MiddlewareContext,
    kind: SpanKind,
    links: Link[],
    around: Context = contexts.active(),
  ): Span {
    const attributes = spanAttributes(operation, context, this.#attributes);
    return this.#tracer.startSpan(`${operation} ${context.key}`.trimEnd(), { kind, attributes, links }, around);
  }

  async #measure(
    operation: "publish" | "process",
    context: MiddlewareContext,
    span: Span,
    active: Context,
    next: () => Promise<void>,
  ): Promise<void> {
    const start = performance.now();
    const attributes = metricAttributes(operation, context, this.#attributes);
    try {
      await contexts.with(active, next);
    } catch (error) {
      attributes["error.type"] = errorType(error);
      span.setAttribute("error.type", errorType(error));
      span.recordException(error instanceof Error ? error : String(error));
      span.setStatus({ code: SpanStatusCode.ERROR, ...(error instanceof Error && { message: error.message }) });
      throw error;
    } finally {
      const seconds = (performance.now() - start) / 1_000;
      (operation === "publish" ? this.#sent : this.#consumed).add(1, attributes);
      (operation === "publish" ? this.#operation : this.#process).record(seconds, attributes);
      span.end();
    }
  }
}
