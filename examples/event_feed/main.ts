/**
 * An event feed: publishes what comes on standard input and serves two groups, one that gets everything and one that gets issues.
 *
 * It knows nothing of any backend. Which one it uses is decided by the environment, for example
 * `ABE_MQ_PLUGIN_URL=https://example.com/mod.ts`, `MESSAGE_QUEUE_BACKEND=sqlite`, or an `.env` file.
 *
 * Input: a JSON object `{"key": ..., "payload": ...}` on each line. Output: a JSON object on each line, one for each payload that a group
 * handled.
 *
 * @module
 */

import "@std/dotenv/load";
import { createInterface } from "node:readline";
import process from "node:process";
import { compileFilter, type Delivery, openQueue } from "../../mod.ts";

const groups = { audit: "#", issues: "github.issues.*" };

await using mq = await openQueue();
const handled = { audit: 0, issues: 0 };
const tried = { audit: 0, issues: 0 };

// Both groups are made before the first event goes in.
for (const [group, keys] of Object.entries(groups)) await mq.groups.create(group, { keys });

async function handle(group: keyof typeof groups, { payload, attempt }: Delivery): Promise<void> {
  // A store that is busy now and then: the queue tries again.
  if (attempt === 1 && ++tried[group] % 25 === 0) throw new Error("The store is busy");
  handled[group]++;
  const line = JSON.stringify({ group, attempt, payload });
  if (!process.stdout.write(`${line}\n`)) await new Promise((resolve) => process.stdout.once("drain", resolve));
}

const retry = () => 10;
await using _audit = await mq.subscribe((delivery) => handle("audit", delivery), { group: "audit", retry });
await using _issues = await mq.subscribe((delivery) => handle("issues", delivery), {
  group: "issues",
  keys: groups.issues,
  retry,
});

const published = { audit: 0, issues: 0 };
const isIssue = compileFilter(groups.issues);
for await (const line of createInterface({ input: process.stdin })) {
  const { key, payload } = JSON.parse(line);
  await mq.publish(key, payload);
  published.audit++;
  if (isIssue(key)) published.issues++;
}

while (handled.audit < published.audit || handled.issues < published.issues) {
  await new Promise((resolve) => setTimeout(resolve, 5));
}
