/**
 * Which server has which partition: one server, the master that sentinels name, or the owners of slots in a cluster.
 *
 * @module
 */

import { ConfigError, MessageQueueError } from "../../core/errors.ts";
import { type Address, Connection, type ConnectionOptions } from "./connection.ts";
import { mapError } from "./errors.ts";
import { type PartitionNames, slotOf } from "./names.ts";
import type { RedisSettings, RedisUrl, SentinelSettings } from "./options.ts";

/** Where partitions are. */
export interface Route {
  /** How to log in there. */
  readonly url: RedisUrl;
  /** Where. */
  readonly address: Address;
}

/** What was found out about the servers. */
export interface Routes {
  /** Whether they are a cluster, where a command may touch one partition alone. */
  readonly cluster: boolean;
  /** By partition. */
  readonly routes: readonly Route[];
  /** The connection to the one server there is, for whoever asks first; it was opened to ask who is there. */
  takeSeed(): Connection | undefined;
}

const noSeed = () => undefined;

/**
 * Finds out which server has which partition, from the first of the given servers that answers.
 *
 * @param settings Which servers to ask.
 * @param names The partitions.
 * @param options How to connect.
 * @returns The routes.
 * @throws {MessageQueueError} `connection` when none answers.
 */
export async function findRoutes(
  settings: RedisSettings,
  names: readonly PartitionNames[],
  options: ConnectionOptions,
): Promise<Routes> {
  const { urls, sentinel } = settings;
  const errors: MessageQueueError[] = [];
  for (const url of urls) {
    let connection: Connection | undefined;
    try {
      connection = await Connection.open(url, url, options);
      if (sentinel !== undefined) return await askSentinel(connection, url, sentinel, names, options);
      if (connection.mode === "cluster") return await askCluster(connection, url, names);
      if (connection.mode === "sentinel") {
        throw new ConfigError([`${connection.at} is a sentinel: name its master by REDIS_SENTINEL_MASTER`]);
      }
      if (urls.length > 1) {
        throw new ConfigError([
          `${connection.at} is no node of a Redis Cluster: several URLs name a cluster's nodes, or sentinels together with ` +
          "REDIS_SENTINEL_MASTER",
        ]);
      }
      const seed = connection;
      connection = undefined;
      return { cluster: false, routes: names.map(() => ({ url, address: url })), takeSeed: handOnce(seed) };
    } catch (error) {
      const mapped = mapError(error, { action: "connect", at: `${url.host}:${url.port}` });
      // What a login or a version got wrong is wrong everywhere.
      if (mapped instanceof ConfigError) throw mapped;
      errors.push(mapped);
    } finally {
      connection?.close();
    }
  }
  throw errors[0] ??
    new MessageQueueError("connection", "Cannot connect to Redis: no server is known", { retryable: true });
}

async function askSentinel(
  sentinel: Connection,
  url: RedisUrl,
  { master, username, password, database }: SentinelSettings,
  names: readonly PartitionNames[],
  options: ConnectionOptions,
): Promise<Routes> {
  if (sentinel.mode !== "sentinel") {
    throw new ConfigError([`${sentinel.at} is no sentinel: with REDIS_SENTINEL_MASTER the URLs name sentinels`]);
  }
  const reply = await sentinel.send(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", master]);
  if (!Array.isArray(reply)) {
    throw new ConfigError([`The sentinel at ${sentinel.at} knows no master named ${JSON.stringify(master)}`]);
  }
  const address = { host: String(reply[0]), port: Number(reply[1]) };
  const login = { ...url, username: username ?? url.username, password: password ?? url.password, database };
  const connection = await Connection.open(login, address, options);
  connection.close();
  if (connection.role !== "master") {
    throw new MessageQueueError(
      "connection",
      `Cannot use ${connection.at}: the sentinels have not settled on a master`,
      {
        retryable: true,
      },
    );
  }
  return { cluster: false, routes: names.map(() => ({ url: login, address })), takeSeed: noSeed };
}

async function askCluster(seed: Connection, url: RedisUrl, names: readonly PartitionNames[]): Promise<Routes> {
  const reply = await seed.send(["CLUSTER", "SLOTS"]);
  const ranges =
    (Array.isArray(reply) ? reply : []) as readonly (readonly [number, number, readonly [string, number]])[];
  const routes = names.map(({ stream }) => {
    const slot = slotOf(stream);
    const owner = ranges.find(([first, last]) => slot >= first && slot <= last)?.[2];
    if (owner === undefined) {
      throw new MessageQueueError("connection", `Cannot use the cluster at ${seed.at}: nobody has slot ${slot}`, {
        retryable: true,
      });
    }
    // An empty or null host means: the one that was asked.
    return { url, address: { host: owner[0] || url.host, port: Number(owner[1]) } };
  });
  return { cluster: true, routes, takeSeed: noSeed };
}

function handOnce(seed: Connection): () => Connection | undefined {
  let left: Connection | undefined = seed;
  return () => {
    const given = left?.isOpen ? left : undefined;
    left = undefined;
    return given;
  };
}
