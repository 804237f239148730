import { after, describe } from "node:test";
import { RedisBackend } from "../../../backends/redis.ts";
import { testBackend } from "../../../../wt-kit/testing/mod.ts";
import { startRedis } from "./server.ts";

const server = await startRedis();
const capabilities = new RedisBackend().capabilities;

testBackend({
  name: "redis",
  open: async (exchange) => new RedisBackend({ url: server.url, exchange }),
  openBounded: async (exchange, settings) => new RedisBackend({ url: server.url, exchange, ...settings }),
  capabilities,
  restart: async () => {
    await server.kill();
    await server.start();
  },
});
void after;
void describe;
globalThis.addEventListener?.("unload", () => void server.kill());
