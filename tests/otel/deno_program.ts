/** Publishes and handles a message with the telemetry that Deno has built in. */

import { MessageQueue } from "../../mod.ts";
import { MemoryBackend } from "../../backends/memory.ts";
import { observeDepth, telemetry } from "../../otel/mod.ts";

const backend = new MemoryBackend();
const observed = Promise.withResolvers<void>();
const stats = backend.stats.bind(backend);
backend.stats = async () => {
  const found = await stats();
  if (Object.keys(found.groups).length > 0) observed.resolve();
  return found;
};
const mq = new MessageQueue(backend);
mq.use(telemetry());
observeDepth(mq);
const handled = Promise.withResolvers<void>();
const subscription = await mq.subscribe(() => handled.resolve(), { group: "billing" });
await mq.publish("order.created", { id: 1 });
await handled.promise;
await subscription.drain();
await observed.promise;
await mq.close();
