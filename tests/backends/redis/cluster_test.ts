import assert from "node:assert/strict";
import { it } from "node:test";
import { RedisBackend } from "../../../backends/redis.ts";
import { testBackend } from "../../../testing/mod.ts";
import { until } from "../../wait.ts";
import { flows, startTraffic } from "./audit.ts";
import { type RedisCluster, settled, startCluster } from "./cluster.ts";

const timeout = 180_000;

let starting: Promise<RedisCluster> | undefined;
const start = () => starting ??= startCluster();

const { atomicBatch: _, ...capabilities } = new RedisBackend().capabilities;

testBackend({
  name: "redis cluster",
  // One seed is enough: the others are found.
  open: async (exchange) => {
    const { url } = await start();
    return new RedisBackend({ url, exchange, partitions: 3 });
  },
  openBounded: async (exchange, bounds) => {
    const { url } = await start();
    return new RedisBackend({ url, exchange, ...bounds });
  },
  capabilities,
  restart: async () => {
    const { nodes } = await start();
    // All masters at once: nobody is left to vote for a replica, so they come back as what they were.
    const masters = nodes.slice(0, 3);
    await Promise.all(masters.map((node) => node.kill()));
    await Promise.all(masters.map((node) => node.start()));
  },
  leaseMs: 800,
  scale: 0.2,
});

/** Kills the master of an exchange and makes its replica the master, as an operator's script would. */
async function failOver(cluster: RedisCluster, exchange: string): Promise<() => Promise<void>> {
  const { master, replica } = await cluster.owner(`{${exchange}:0}:stream`);
  await master.kill();
  await until(async () => (await replica.command("CLUSTER", "FAILOVER", "TAKEOVER")).startsWith("+OK"), {
    what: "the replica to take over",
  });
  return async () => {
    await master.start();
    await settled(cluster.nodes);
  };
}

void it("with minReplicas a failover in mid-traffic loses nothing that was acknowledged", { timeout }, async () => {
  const cluster = await start();
  const exchange = "failover-safe";
  await using traffic = await startTraffic({ url: cluster.url, exchange, minReplicas: 1, timeoutMs: 1_000 });
  await flows(traffic);
  const restore = await failOver(cluster, exchange);
  // Until there is a replica again, no publish is sure; those are refused.
  await restore();
  await flows(traffic);
  const { lost } = await traffic.finish();
  assert.equal(lost, 0);
});

void it("without it the loss is counted, and traffic goes on", { timeout }, async () => {
  const cluster = await start();
  const exchange = "failover-fast";
  await using traffic = await startTraffic({ url: cluster.url, exchange, timeoutMs: 1_000 });
  await flows(traffic);
  const restore = await failOver(cluster, exchange);
  await flows(traffic);
  await restore();
  await flows(traffic);
  const { acknowledged, lost } = await traffic.abandon();
  console.log(`failover without minReplicas: ${lost} of ${acknowledged} acknowledged publishes lost`);
  assert.ok(lost < acknowledged / 2);
});

void it("one URL of a cluster's node is enough", { timeout }, async () => {
  const { nodes } = await start();
  await using backend = new RedisBackend({ url: nodes[4]?.url ?? "", exchange: "seed", partitions: 16 });
  for (let n = 0; n < 50; n++) await backend.publish(`key.${n}`, { n });
  assert.equal((await backend.stats()).retained, 50);
  const spread = await Promise.all(nodes.map((node) => node.command("DBSIZE")));
  assert.ok(spread.filter((size) => size !== ":0\r\n").length >= 4, String(spread));
});

void it("the cluster stops", { timeout }, async () => {
  if (starting !== undefined) await (await starting).stop();
});
