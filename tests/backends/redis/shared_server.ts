/** The server that the conformance suite and the processes that it starts share. */

import process from "node:process";
import { RedisBackend } from "../../../backends/redis.ts";
import { type RedisServer, startRedis } from "./server.ts";

const variable = "ABE_MQ_TEST_REDIS_URL";

let starting: Promise<RedisServer> | undefined;

/** The server, started by whoever asks first; children find it by the environment. */
export async function sharedServer(): Promise<RedisServer> {
  starting ??= startRedis();
  const server = await starting;
  process.env[variable] = server.url;
  return server;
}

/** Stops it. */
export async function stopSharedServer(): Promise<void> {
  if (starting !== undefined) await (await starting).stop();
}

/** Opens a backend on it. */
export async function open(exchange: string): Promise<RedisBackend> {
  const url = process.env[variable] ?? (await sharedServer()).url;
  return new RedisBackend({ url, exchange });
}
