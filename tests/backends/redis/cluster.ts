/**
 * A Redis Cluster on loopback: three masters and a replica of each.
 *
 * @module
 */

import { until } from "../../wait.ts";
import { freePort, type RedisServer, startRedis } from "./server.ts";

/** A running cluster. */
export interface RedisCluster {
  /** URLs of all nodes, joined by commas. */
  readonly url: string;
  readonly nodes: readonly RedisServer[];
  /** The node that has a key's slot, and a replica of it. */
  owner(key: string): Promise<{ readonly master: RedisServer; readonly replica: RedisServer }>;
  stop(): Promise<void>;
}

/** Starts a cluster and waits until every slot is served and every replica is in step. */
export async function startCluster(): Promise<RedisCluster> {
  const nodes: RedisServer[] = [];
  const buses: number[] = [];
  try {
    for (let i = 0; i < 6; i++) {
      const bus = await freePort();
      buses.push(bus);
      const args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", String(bus)];
      const more = ["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"];
      nodes.push(await startRedis({ args: [...args, ...more] }));
    }
    const [first, ...others] = nodes;
    if (first === undefined) throw new Error("no node");
    for (const [i, node] of others.entries()) {
      await must(first, "CLUSTER", "MEET", "127.0.0.1", String(node.port), String(buses[i + 1]));
    }
    const ids: string[] = [];
    for (const [i, node] of nodes.entries()) {
      ids.push((await node.command("CLUSTER", "MYID")).split("\r\n")[1] ?? "");
      const range = [[0, 5460], [5461, 10_922], [10_923, 16_383]][i];
      if (range !== undefined) await must(node, "CLUSTER", "ADDSLOTSRANGE", ...range.map(String));
    }
    for (const node of nodes) {
      await until(async () => (await node.command("CLUSTER", "INFO")).includes("cluster_known_nodes:6"), {
        what: "the nodes to meet",
      });
    }
    for (const [i, node] of nodes.slice(3).entries()) {
      const join = async () => (await node.command("CLUSTER", "REPLICATE", ids[i] ?? "")).startsWith("+OK");
      await until(join, { what: "a replica to learn of its master" });
    }
    await settled(nodes);
  } catch (error) {
    await Promise.all(nodes.map((node) => node.stop()));
    throw error;
  }
  return {
    url: nodes.map(({ url }) => url).join(","),
    nodes,
    owner: async (key) => {
      const ports = await slotPorts(nodes, key);
      const [master, replica] = ports.map((port) => nodes.find((node) => node.port === port));
      if (master === undefined || replica === undefined) throw new Error(`no owner of ${key}: ${ports}`);
      return { master, replica };
    },
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

/** Waits until every node that runs sees a cluster that is whole. */
export async function settled(nodes: readonly RedisServer[]): Promise<void> {
  for (const node of nodes) {
    await until(async () => {
      const info = await node.command("CLUSTER", "INFO").catch(() => "");
      if (!info.includes("cluster_state:ok")) return false;
      const replication = await node.command("INFO", "replication");
      return replication.includes("role:master")
        ? replication.includes("connected_slaves:1")
        : replication.includes("master_link_status:up");
    }, { what: "the cluster to be whole", timeoutMs: 60_000 });
  }
}

// Ports of the master and the replicas of a key's slot, as a node that answers sees them.
async function slotPorts(nodes: readonly RedisServer[], key: string): Promise<number[]> {
  const [node] = nodes;
  if (node === undefined) return [];
  const slot = Number((await node.command("CLUSTER", "KEYSLOT", key)).match(/\d+/)?.[0]);
  const text = await node.command("CLUSTER", "NODES");
  const lines = text.split("\n").map((line) => line.trim().split(" ")).filter((fields) => fields.length >= 8);
  const port = (fields: readonly string[]) => Number(/:(\d+)@/.exec(fields[1] ?? "")?.[1]);
  const master = lines.find((fields) =>
    fields.slice(8).some((range) => {
      const [from = NaN, to = from] = range.split("-").map(Number);
      return slot >= from && slot <= to;
    })
  );
  if (master === undefined) return [];
  return [port(master), ...lines.filter((fields) => fields[3] === master[0]).map(port)];
}

async function must(node: RedisServer, ...args: string[]): Promise<void> {
  const reply = await node.command(...args);
  if (!reply.startsWith("+OK")) throw new Error(`${args.join(" ")}: ${reply}`);
}
