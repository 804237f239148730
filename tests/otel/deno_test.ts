import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { json } from "node:stream/consumers";
import { run, runtimeCommand } from "../process.ts";

const timeout = 120_000;

interface Received {
  readonly path: string;
  readonly body: Record<string, unknown>;
}

interface Span {
  readonly name: string;
  readonly kind: number;
  readonly spanId: string;
  readonly traceId: string;
  readonly links?: readonly { readonly spanId: string }[];
}

async function collector(): Promise<{ server: Server; endpoint: string; received: Received[] }> {
  const received: Received[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    json(request).then((body) => {
      received.push({ path: request.url ?? "", body: body as Record<string, unknown> });
      response.setHeader("content-type", "application/json").end("{}");
    }, (error) => response.writeHead(400).end(String(error)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

/** All values of a member, however deep. */
function members(value: unknown, name: string): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, each]) => key === name ? [each] : members(each, name));
}

describe("telemetry and Deno's own OpenTelemetry", () => {
  it("send spans, linked, and metrics to a collector", { timeout }, async () => {
    const { server, endpoint, received } = await collector();
    try {
      const result = await run(runtimeCommand("deno", "tests/otel/deno_program.ts", {
        env: {
          OTEL_DENO: "true",
          OTEL_DENO_CONSOLE: "ignore",
          OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
          OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
          OTEL_METRIC_EXPORT_INTERVAL: "100",
        },
      }));
      assert.equal(result.code, 0, result.output);
      const bodies = (path: string) => received.filter((each) => each.path === path).map((each) => each.body);
      const spans = members(bodies("/v1/traces"), "spans").flat() as Span[];
      const publish = spans.find((each) => each.name === "publish order.created");
      const process = spans.find((each) => each.name === "process order.created");
      assert.ok(publish && process, `only: ${spans.map((each) => each.name)}`);
      assert.deepEqual([publish.kind, process.kind], [4, 5]);
      assert.deepEqual(process.links?.map((each) => each.spanId), [publish.spanId]);
      assert.notEqual(process.traceId, publish.traceId);
      const metrics = (members(bodies("/v1/metrics"), "metrics").flat() as { name: string }[]).map(({ name }) => name);
      for (
        const name of [
          "messaging.client.sent.messages",
          "messaging.client.consumed.messages",
          "messaging.client.operation.duration",
          "messaging.process.duration",
          "abe_mq.group.messages",
        ]
      ) assert.ok(metrics.includes(name), `${name} is among ${[...new Set(metrics)]}`);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
