import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import * as sdk from "@opentelemetry/sdk-trace";
import { MessageQueue, MessageQueueError } from "../../mod.ts";
import { observeDepth, telemetry, type TelemetryOptions } from "../../otel/mod.ts";
import { FaultyBackend, RecordingLogger, until } from "../core/fakes.ts";

const timeout = 60_000;

// Global, as an application sets them; providers are given, so that each test has its own.
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(
  new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
);

function open(options: TelemetryOptions = {}) {
  const spans = new sdk.InMemorySpanExporter();
  const tracerProvider = new sdk.TracerProvider({ spanProcessors: [new sdk.SimpleSpanProcessor({ exporter: spans })] });
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const backend = new FaultyBackend();
  const mq = new MessageQueue(backend, { logger: new RecordingLogger(), reconnect: () => 1 });
  mq.use(telemetry({ tracerProvider, meterProvider, ...options }));
  return {
    mq,
    backend,
    tracerProvider,
    meterProvider,
    spans: () => spans.getFinishedSpans(),
    metrics: async () => {
      await reader.forceFlush();
      const found = exporter.getMetrics().at(-1)?.scopeMetrics.flatMap((each) => each.metrics) ?? [];
      return new Map(found.map((each) => [each.descriptor.name, each]));
    },
    [Symbol.asyncDispose]: async () => {
      await mq.close();
      await meterProvider.shutdown();
      await tracerProvider.shutdown();
    },
  };
}

describe("telemetry", () => {
  it("makes a publish span and a process span, linked, in traces of their own", { timeout }, async () => {
    await using opened = open({ attributes: { "server.address": "example" } });
    const { mq, spans, tracerProvider } = opened;
    let headers: Readonly<Record<string, string>> = {};
    let active: string | undefined;
    const id = await mq.publish("order.created", { id: 1 });
    await using _subscription = await mq.subscribe((delivery) => {
      ({ headers } = delivery);
      active = trace.getActiveSpan()?.spanContext().spanId;
      tracerProvider.getTracer("app").startSpan("inside").end();
    }, { group: "billing" });
    await until(() => spans().length === 3);
    const [publish, inside, process] = spans();
    assert.ok(publish && inside && process);
    assert.deepEqual([publish.name, publish.kind], ["publish order.created", SpanKind.PRODUCER]);
    assert.deepEqual(publish.attributes, {
      "messaging.system": "abe_mq",
      "messaging.operation.name": "publish",
      "messaging.operation.type": "send",
      "messaging.destination.name": "order.created",
      "messaging.message.id": id,
      "messaging.message.body.size": 8,
      "server.address": "example",
    });
    assert.deepEqual([process.name, process.kind], ["process order.created", SpanKind.CONSUMER]);
    assert.deepEqual(process.attributes, {
      "messaging.system": "abe_mq",
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.destination.name": "order.created",
      "messaging.consumer.group.name": "billing",
      "messaging.message.id": id,
      "messaging.message.body.size": 8,
      "abe_mq.attempt": 1,
      "server.address": "example",
    });
    const made = publish.spanContext();
    assert.equal(headers["traceparent"], `00-${made.traceId}-${made.spanId}-01`);
    assert.deepEqual(process.links.map((each) => each.context.spanId), [made.spanId]);
    assert.notEqual(process.spanContext().traceId, made.traceId);
    assert.equal(process.parentSpanContext, undefined);
    assert.equal(active, process.spanContext().spanId);
    assert.equal(inside.parentSpanContext?.spanId, process.spanContext().spanId);
  });

  it("makes one trace of both by choice, and carries baggage either way", { timeout }, async () => {
    for (const relation of ["parent", "link"] as const) {
      await using opened = open({ relation });
      const { mq, spans, tracerProvider } = opened;
      const root = tracerProvider.getTracer("app").startSpan("root");
      const around = propagation.setBaggage(
        trace.setSpan(context.active(), root),
        propagation.createBaggage({ tenant: { value: "a" } }),
      );
      await context.with(around, () => mq.publish("k", {}));
      root.end();
      let tenant: string | undefined;
      await using subscription = await mq.subscribe(() => {
        tenant = propagation.getActiveBaggage()?.getEntry("tenant")?.value;
      });
      await until(() => spans().length === 3);
      await subscription.drain();
      const [publish, , process] = spans();
      assert.equal(publish?.parentSpanContext?.spanId, root.spanContext().spanId);
      assert.equal(tenant, "a");
      if (relation === "link") assert.equal(process?.links.length, 1);
      else {
        assert.equal(process?.parentSpanContext?.spanId, publish?.spanContext().spanId);
        assert.equal(process?.spanContext().traceId, root.spanContext().traceId);
        assert.equal(process?.links.length, 0);
      }
    }
  });

  it("makes a receive span besides for what a loop takes, and ends the process span when it is settled", {
    timeout,
  }, async () => {
    for (const via of ["receive", "consume"] as const) {
      await using opened = open();
      const { mq, spans } = opened;
      await mq.publish("k", {});
      if (via === "receive") {
        const { value } = await mq.receive().next();
        assert.deepEqual(spans().map((each) => each.name), ["publish k", "receive k"]);
        await value?.ack();
      } else {
        const payloads = mq.consume();
        await payloads.next();
        await mq.publish("k", {});
        await payloads.next();
        await payloads.return?.();
      }
      await until(() => spans().some((each) => each.name === "process k"));
      const receive = spans().find((each) => each.name === "receive k");
      assert.equal(receive?.kind, SpanKind.CLIENT);
      assert.equal(receive?.links[0]?.context.spanId, spans()[0]?.spanContext().spanId);
      assert.equal(spans().find((each) => each.name === "process k")?.status.code, SpanStatusCode.UNSET);
    }
  });

  it("says what went wrong", { timeout }, async () => {
    await using opened = open();
    const { mq, backend, spans, metrics } = opened;
    backend.beforePublish = () => {
      throw new MessageQueueError("full", "no room");
    };
    await assert.rejects(mq.publish("k", {}), /no room/);
    backend.beforePublish = () => {};
    await mq.publishMany([{ key: "k", payload: {} }, { key: "l", payload: {} }]);
    await using subscription = await mq.subscribe((delivery) => {
      if (delivery.key === "k") throw new RangeError("bad");
    }, { retry: () => null });
    await until(() => spans().length === 5);
    await subscription.drain();
    const [refused, batch, , failed] = spans();
    assert.deepEqual(refused?.status, { code: SpanStatusCode.ERROR, message: "no room" });
    assert.equal(refused?.attributes["error.type"], "full");
    assert.equal(batch?.attributes["messaging.batch.message_count"], 2);
    assert.equal(failed?.attributes["error.type"], "RangeError");
    assert.equal(failed?.events[0]?.name, "exception");
    const found = await metrics();
    const counts = (name: string) =>
      found.get(name)?.dataPoints.map(({ attributes, value }) => [
        attributes["messaging.destination.name"],
        attributes["error.type"],
        typeof value === "number" ? value : (value as { count: number }).count,
      ]).sort();
    const sent = [["k", "full", 1], ["k", undefined, 1], ["l", undefined, 1]].sort();
    const consumed = [["k", "RangeError", 1], ["l", undefined, 1]];
    assert.deepEqual(counts("messaging.client.sent.messages"), sent);
    assert.deepEqual(counts("messaging.client.operation.duration"), sent);
    assert.deepEqual(counts("messaging.client.consumed.messages"), consumed);
    assert.deepEqual(counts("messaging.process.duration"), consumed);
    assert.equal(found.get("messaging.process.duration")?.descriptor.unit, "s");
  });

  it("keeps the context of a message that is passed on", { timeout }, async () => {
    await using opened = open();
    const { mq, spans } = opened;
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await mq.publish("k", {}, { headers: { traceparent } });
    const { value } = await mq.receive().next();
    assert.equal(value?.headers["traceparent"], traceparent);
    assert.deepEqual(spans().map((each) => each.links[0]?.context.spanId), ["b7ad6b7169203331", "b7ad6b7169203331"]);
    await value?.ack();
  });
});

describe("observeDepth", () => {
  it("counts what waits, until it is disposed", { timeout }, async () => {
    await using opened = open();
    const { mq, metrics, meterProvider } = opened;
    await mq.groups.create("g");
    await mq.publishMany([1, 2, 3].map((i) => ({ key: "k", payload: { i } })));
    const { value } = await mq.receive({ group: "g", prefetch: 1 }).next();
    assert.ok(value);
    const observation = observeDepth(mq, { meterProvider, attributes: { app: "a" } });
    const found = await metrics();
    const points = (name: string) =>
      Object.fromEntries(
        found.get(name)?.dataPoints.map((each) => [String(each.attributes["abe_mq.state"]), each.value]) ?? [],
      );
    assert.deepEqual(points("abe_mq.group.messages"), { ready: 2, delayed: 0, in_flight: 1, dead: 0 });
    assert.deepEqual(points("abe_mq.group.consumers"), { undefined: 1 });
    assert.deepEqual(points("abe_mq.retained"), { undefined: 3 });
    assert.ok(Number(points("abe_mq.group.oldest_age")["undefined"]) >= 0);
    assert.deepEqual(found.get("abe_mq.group.consumers")?.dataPoints[0]?.attributes, {
      "messaging.consumer.group.name": "g",
      app: "a",
    });
    let asked = 0;
    const { stats } = mq.backend;
    mq.backend.stats = () => {
      asked++;
      return stats?.call(mq.backend) ?? Promise.reject(new Error("no stats"));
    };
    await metrics();
    assert.equal(asked, 1);
    observation[Symbol.dispose]();
    await metrics();
    assert.equal(asked, 1);
  });
});
