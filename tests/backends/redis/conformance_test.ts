import { it } from "node:test";
import { RedisBackend } from "../../../backends/redis.ts";
import { testBackend } from "../../../testing/mod.ts";
import { open, sharedServer, stopSharedServer } from "./shared_server.ts";

testBackend({
  name: "redis",
  open,
  openBounded: async (exchange, settings) => {
    const { url } = await sharedServer();
    return new RedisBackend({ url, exchange, ...settings });
  },
  capabilities: {
    groups: true,
    keys: true,
    leases: true,
    delay: true,
    ordering: true,
    dedup: true,
    deadLetters: true,
    retention: true,
    expiry: true,
    stats: true,
    durable: true,
    atomicBatch: true,
  },
  restart: async () => {
    const server = await sharedServer();
    await server.kill();
    await server.start();
  },
  child: new URL("shared_server.ts", import.meta.url).href,
  environment: {
    module: RedisBackend,
    wrong: { MESSAGE_QUEUE_URL: "http://user:sesame@localhost", MESSAGE_QUEUE_PARTITIONS: "none" },
    secrets: ["sesame"],
  },
});

void it("the server stops", { timeout: 30_000 }, () => stopSharedServer());
