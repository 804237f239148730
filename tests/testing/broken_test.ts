import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryBackend } from "../../backends/memory.ts";
import type { ConsumeOptions, MessageQueueBackend, MessageQueueBackendModule, Payload } from "../../mod.ts";
import { ConfigError } from "../../mod.ts";
import { formatReport, type Harness, type Report, runConformance } from "../../testing/mod.ts";
import { type Broken, brokenPulls, brokenSettlements, brokenStores } from "./broken_drivers.ts";
import { brokenDeadLetters, brokenDeclarations, brokenGroups } from "./broken_stores.ts";
import LineBackend from "./line_backend.ts";

const timeout = 60_000;

// Enough for a sound backend in memory, and what every catch costs that is a wait in vain.
const quick = { deadlineMs: 600, leaseMs: 200 };

const { capabilities } = new MemoryBackend();

function memory(name: string, breaks: Broken["breaks"] = (backend) => backend): Harness {
  const open: Harness["openBounded"] = (exchange, settings) =>
    Promise.resolve(breaks(new MemoryBackend({ store: exchange, ...settings })));
  return { name, capabilities, open: (exchange) => open(exchange, {}), openBounded: open, ...quick };
}

async function caught(harness: Harness, by: string): Promise<void> {
  const report = await runConformance({ ...harness, only: [by] });
  assert.equal(report.results.length, 1, `a case named "${by}"`);
  assert.equal(report.results[0]?.outcome, "failed", `"${harness.name}" must be caught by "${by}"`);
  assert.equal(report.passed, false);
  assert.match(formatReport(report), /1 FAILED/);
}

const broken = [
  ...brokenStores,
  ...brokenPulls,
  ...brokenSettlements,
  ...brokenGroups,
  ...brokenDeadLetters,
  ...brokenDeclarations,
];

void describe("The kit catches a backend that", () => {
  for (const { fault, caughtBy, breaks } of broken) {
    void it(fault, { timeout }, () => caught(memory(fault, breaks), caughtBy));
  }

  void it("leaks from one exchange into another", { timeout }, async () => {
    // Every exchange of a case shares the front part of its name.
    const open = (exchange: string) => Promise.resolve(new MemoryBackend({ store: exchange.slice(0, 40) }));
    await caught({ ...memory("leaky"), open }, "nothing leaks from one exchange into another");
  });
});

void describe("The kit catches a backend of three methods that", () => {
  const plain = (consume: (backend: LineBackend, options: ConsumeOptions) => AsyncIterable<Payload>): Harness => ({
    name: "plain",
    capabilities: { groups: true },
    open(exchange): Promise<MessageQueueBackend> {
      const backend = new LineBackend(exchange);
      const { publish, capabilities } = backend;
      return Promise.resolve({
        capabilities,
        publish: publish.bind(backend),
        consume: (options = {}) => consume(backend, options),
      });
    },
    ...quick,
  });

  void it("acks before it yields", { timeout }, () =>
    caught(
      plain(async function* (backend, options) {
        const consumer = backend.consume(options);
        // One is always asked for ahead, which acks the one before it.
        let ahead = consumer.next();
        while (true) {
          const { done, value } = await ahead;
          if (done) return;
          ahead = consumer.next();
          yield value;
        }
      }),
      "a payload in hand is not acked before the next is asked for",
    ));

  void it("ignores its signal", { timeout }, async () => {
    // Ends what would go on for ever, once the kit has seen it.
    const end = new AbortController();
    const harness = plain((backend, options) => backend.consume({ ...options, signal: end.signal }));
    await caught(harness, "the backend's own consume ends when its signal is aborted");
    end.abort();
  });

  void it("ignores the group", { timeout }, () =>
    caught(
      plain((backend, { group: _, ...options }) => backend.consume(options)),
      "every group gets every message, each of them once",
    ));

  void it("leaves a listener on its signal", { timeout }, () =>
    caught(
      plain((backend, options) => {
        options.signal?.addEventListener("abort", () => {});
        return backend.consume(options);
      }),
      "the backend's own consume gives back what was in hand when it is left",
    ));

  void it("drops what is in hand when it is left", { timeout }, () =>
    caught(
      plain(async function* (backend, options) {
        const consumer = backend.consume(options);
        while (true) {
          const { done, value } = await consumer.next();
          if (done) return;
          try {
            yield value;
          } finally {
            await consumer.next();
          }
        }
      }),
      "break releases the payload in hand and loses nothing",
    ));
});

const wrong = { MESSAGE_QUEUE_PORT: "none", MESSAGE_QUEUE_URL: "redis://:hunter2@[" };
const environmentCase = "fromEnv tells every problem at once, names the variables and hides secrets";
const fromEnv = (problems: readonly string[]): Harness => {
  const module: MessageQueueBackendModule = {
    fromEnv() {
      throw new ConfigError(problems);
    },
  };
  return { ...memory("fromEnv"), environment: { module, wrong, secrets: ["hunter2"] } };
};
const port = "MESSAGE_QUEUE_PORT must be a number";

void describe("The kit catches a fromEnv that", () => {
  void it("tells only the first problem", { timeout }, () => caught(fromEnv([port]), environmentCase));
  void it(
    "tells a secret",
    { timeout },
    () => caught(fromEnv([port, "MESSAGE_QUEUE_URL is no URL: redis://:hunter2@["]), environmentCase),
  );
});

void describe("The kit", () => {
  void it("passes a fromEnv that tells every problem and no secret", { timeout }, async () => {
    const report = await runConformance({ ...fromEnv([port, "MESSAGE_QUEUE_URL is no URL"]), only: [environmentCase] });
    assert.equal(report.passed, true, formatReport(report));
  });

  void it("passes a sound backend in the cases that catch the broken ones", { timeout }, async () => {
    const only = [...new Set(broken.map(({ caughtBy }) => caughtBy))];
    // A case that fails whatever it is given would catch everything.
    const report: Report = await runConformance({ ...memory("sound"), deadlineMs: 20_000, leaseMs: 1_000, only });
    assert.equal(report.passed, true, formatReport(report));
    assert.equal(report.results.length, only.length);
    assert.ok(report.results.every(({ outcome }) => outcome === "passed"));
  });

  void it("names the cases that it does not know", async () => {
    await assert.rejects(() => runConformance({ ...memory("sound"), only: ["no such case"] }), /no such case/);
    await assert.rejects(() => runConformance({ ...memory("sound"), skip: { "no such case": "no" } }), /no such case/);
  });

  void it("tells what was skipped and why", { timeout }, async () => {
    const name = "ping resolves";
    const report = await runConformance({ ...memory("sound"), only: [name], skip: { [name]: "the sun shines" } });
    assert.deepEqual(report.results.map(({ outcome, reason }) => ({ outcome, reason })), [
      { outcome: "skipped", reason: "the sun shines" },
    ]);
    assert.match(formatReport(report), /1 SKIPPED[\s\S]*SKIPPED 0: ping resolves: the sun shines/);
  });
});
