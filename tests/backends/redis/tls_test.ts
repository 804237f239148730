import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { RedisBackend, type RedisBackendOptions } from "../../../backends/redis.ts";
import { createMessage } from "../../../core/message.ts";
import { testBackend } from "../../../testing/mod.ts";
import { neededCommands, sometimesNeeded } from "./acl.ts";
import { makeCertificate } from "./certificate.ts";
import { freePort, type RedisServer, startRedis } from "./server.ts";

const timeout = 60_000;
const { cert, key } = makeCertificate();
const login = { username: "mq", password: "open sesame: 100%" };

// One server for the file: TLS alone for the backend, and a plain port by which the test looks at what was called.
let starting: Promise<{ readonly server: RedisServer; readonly options: RedisBackendOptions }> | undefined;
function start() {
  return starting ??= (async () => {
    const tlsPort = await freePort();
    const server = await startRedis({
      prepare: async (folder) => {
        await writeFile(join(folder, "cert.pem"), cert);
        await writeFile(join(folder, "key.pem"), key);
      },
      args: [
        ...["--tls-port", String(tlsPort), "--tls-auth-clients", "no"],
        ...["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "cert.pem"],
      ],
    });
    const commands = neededCommands.map((name) => `+${name}`);
    const rules = ["reset", "on", `>${login.password}`, "~{kit-*", ...commands];
    assert.equal(await server.command("ACL", "SETUSER", login.username, ...rules), "+OK\r\n");
    await server.command("CONFIG", "RESETSTAT");
    return { server, options: { url: `rediss://localhost:${tlsPort}`, ...login, tls: { ca: cert } } };
  })();
}

testBackend({
  name: "redis over TLS, with the least permissions",
  open: async (exchange) => new RedisBackend({ ...(await start()).options, exchange }),
  openBounded: async (exchange, bounds) => new RedisBackend({ ...(await start()).options, exchange, ...bounds }),
  capabilities: new RedisBackend().capabilities,
  leaseMs: 800,
  scale: 0.3,
});

void it("the user needs all of the commands that are documented, and no other", { timeout }, async () => {
  const { server, options } = await start();
  await using backend = new RedisBackend({ ...options, exchange: "kit-taken" });
  // What the cases above did not come by: a key of another program is looked for by its type.
  await server.command("SET", "{kit-taken:0}:stream", "mine");
  await assert.rejects(backend.publish("a", {}), { code: "storage", message: /kit-taken/ });
  await using other = new RedisBackend({ ...options, exchange: "kit-long" });
  await other.publishMany([1, 2].map((n) => createMessage("a", { n, text: "x".repeat(10_000) })));
  const stats = await server.command("INFO", "commandstats");
  const used = new Set(Array.from(stats.matchAll(/cmdstat_([a-z|]+):/g), ([, name]) => name ?? ""));
  assert.deepEqual(neededCommands.filter((name) => !used.has(name)), [], "documented and never used");
  const docs = await readFile(new URL("../../../docs/redis.md", import.meta.url), "utf8");
  for (const name of [...neededCommands, ...sometimesNeeded]) {
    assert.ok(docs.includes(`+${name}`), `${name} is not in docs/redis.md`);
  }
});

void it("a user who may not is told what is missing", { timeout }, async () => {
  const { server, options } = await start();
  await server.command(
    "ACL",
    "SETUSER",
    "poor",
    "on",
    `>${login.password}`,
    "~*",
    ...neededCommands.map((name) => `+${name}`),
    "-xadd",
  );
  await using backend = new RedisBackend({ ...options, username: "poor", exchange: "kit-poor" });
  await assert.rejects(backend.publish("a", {}), { code: "config", message: /docs\/redis\.md/ });
});

void it("a certificate of nobody known is refused", { timeout }, async () => {
  const { options } = await start();
  await using backend = new RedisBackend({ ...options, tls: {}, exchange: "kit-unknown" });
  await assert.rejects(backend.publish("a", {}), { code: "config", message: /certificate/ });
});

void it("the server stops", { timeout }, async () => {
  if (starting !== undefined) await (await starting).server.stop();
});
