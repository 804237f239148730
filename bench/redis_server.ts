/**
 * A redis-server on loopback for benchmarks: from the PATH, else where `deno task prepare` unpacked it.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** A running server. */
export interface BenchServer {
  readonly port: number;
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts a server.
 *
 * @param fsync `no` for no file at all, else Redis's `appendfsync`.
 */
export async function startServer(fsync: "no" | "everysec" | "always"): Promise<BenchServer> {
  const { command, env } = find();
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "abe-mq-bench-"));
  const log = fsync === "no" ? ["--appendonly", "no"] : ["--appendonly", "yes", "--appendfsync", fsync];
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", ...log];
  const child = spawn(command, args, { stdio: "ignore", env: { ...process.env, ...env } });
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  for (let i = 0; !(await answers(port)); i++) {
    if (i > 500 || child.exitCode !== null) throw new Error("redis-server does not start");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    stop: async () => {
      child.kill("SIGKILL");
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function find(): { readonly command: string; readonly env: Record<string, string> } {
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    const command = join(folder, "redis-server");
    if (folder !== "" && existsSync(command)) return { command, env: {} };
  }
  const unpacked = new URL("../.tools/debian/usr/", import.meta.url).pathname;
  const command = join(unpacked, "bin/redis-server");
  if (!existsSync(command)) throw new Error("Cannot find redis-server: run `deno task prepare` first");
  const libraries = readdirSync(join(unpacked, "lib")).filter((name) => name.includes("-linux-gnu"));
  return { command, env: { LD_LIBRARY_PATH: libraries.map((name) => join(unpacked, "lib", name)).join(":") } };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))
      );
    });
  });
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => socket.write("PING\r\n"));
    socket.on("data", (data) => (socket.destroy(), resolve(String(data).startsWith("+PONG"))));
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
  });
}
