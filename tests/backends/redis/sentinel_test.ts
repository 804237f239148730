import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { RedisBackend } from "../../../backends/redis.ts";
import { until } from "../../wait.ts";
import { flows, startTraffic } from "./audit.ts";
import { freePort, startRedis, startSentinel } from "./server.ts";

const timeout = 120_000;

void it("sentinels name the master, also after a failover in mid-traffic", { timeout }, async () => {
  const password = "sesame";
  const args = ["--requirepass", password, "--masterauth", password];
  const master = await startRedis({ args, password });
  const replica = await startRedis({
    args: [...args, "--replicaof", "127.0.0.1", String(master.port)],
    password,
  });
  const port = await freePort();
  const sentinel = await startSentinel(port, async (folder) => {
    await writeFile(
      join(folder, "sentinel.conf"),
      `port ${port}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor orders 127.0.0.1 ${master.port} 1\n` +
        `sentinel auth-pass orders ${password}\nsentinel down-after-milliseconds orders 500\n` +
        `sentinel failover-timeout orders 2000\n`,
    );
  });
  try {
    await until(async () => (await replica.command("INFO", "replication")).includes("master_link_status:up"), {
      what: "the replica to be in step",
    });
    await until(async () => (await sentinel.command("SENTINEL", "REPLICAS", "orders")).includes(String(replica.port)), {
      what: "the sentinel to know the replica",
    });
    const nobody = await freePort();
    const options = {
      url: `redis://127.0.0.1:${nobody},redis://127.0.0.1:${port}`,
      sentinelMaster: "orders",
      password,
      exchange: "sentinel",
      timeoutMs: 1_000,
    };
    await using traffic = await startTraffic(options, { publishers: 4, consumers: 2 });
    await flows(traffic);
    await master.kill();
    // The sentinel ends all connections to the server that it promotes, this one too.
    const role = () => replica.command("INFO", "replication").catch((error: Error) => error.message);
    await until(async () => (await role()).includes("role:master"), { what: "the failover", timeoutMs: 60_000 });
    await flows(traffic);
    const { acknowledged, lost } = await traffic.abandon();
    assert.ok(lost < acknowledged / 2, `${lost} of ${acknowledged} lost`);

    await using wrong = new RedisBackend({ ...options, sentinelMaster: "nobody" });
    await assert.rejects(wrong.publish("a", {}), { code: "config", message: /nobody/ });
    await using direct = new RedisBackend({ url: options.url.split(",")[1] ?? "" });
    await assert.rejects(direct.publish("a", {}), { code: "config", message: /sentinel/ });
  } finally {
    await Promise.all([sentinel, master, replica].map((each) => each.stop()));
  }
});
