/**
 * A real redis-server on loopback, for tests: a free port, a temporary folder, every write on disk before it is answered.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { findProgram } from "../../programs.ts";

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
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

/** A running server. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  readonly folder: string;
  /** SIGKILL, at once. */
  kill(): Promise<void>;
  /** SIGSTOP: it holds its connections and says nothing. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
  /** Starts it again over the same files, once it was killed. */
  start(options?: RestartOptions): Promise<void>;
  /** SIGKILL, and its folder is gone. */
  stop(): Promise<void>;
  /** Sends a command over a connection of its own, in plain words; the reply is its raw text. */
  command(...args: string[]): Promise<string>;
}

/** How a server is started. */
export interface RedisServerOptions {
  /** More settings, as on its command line. */
  readonly args?: readonly string[];
  readonly port?: number;
  /** What the `command` method logs in with. */
  readonly password?: string;
  /** Whether it speaks TLS on its port alone, so that `command` cannot be used. */
  readonly tls?: boolean;
}

/** How a server is started again. */
export interface RestartOptions {
  /** More settings. */
  readonly args?: readonly string[];
  /** Whether an answer is enough that says it is still loading. */
  readonly loading?: boolean;
}

/** Starts a server and waits until it answers. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const program = findProgram("redis-server");
  if (program === undefined) throw new Error("Cannot find redis-server: `deno task prepare` fetches it");
  const folder = await mkdtemp(join(tmpdir(), "abe-mq-redis-"));
  const port = options.port ?? await freePort();
  let child: ChildProcess | undefined;
  const start = async (restart: RestartOptions = {}) => {
    const ports = options.tls ? ["--port", "0", "--tls-port", String(port)] : ["--port", String(port)];
    const args = [
      ...ports,
      "--bind",
      "127.0.0.1",
      "--dir",
      folder,
      "--save",
      "",
      "--appendonly",
      "yes",
      "--appendfsync",
      "always",
      "--loglevel",
      "warning",
      "--logfile",
      join(folder, "redis.log"),
      ...options.args ?? [],
      ...restart.args ?? [],
    ];
    const started = spawn(program.command, args, {
      stdio: "ignore",
      env: { ...process.env, ...program.env },
      cwd: dirname(folder),
    });
    child = started;
    started.on("error", () => undefined);
    const deadline = Date.now() + 30_000;
    while (Date.now() < deadline) {
      if (started.exitCode !== null) {
        throw new Error(`redis-server ended with ${started.exitCode}; see ${folder}/redis.log`);
      }
      if (await answers(port, options, restart.loading)) return;
      await delay(20);
    }
    throw new Error("redis-server does not answer");
  };
  const kill = async () => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const gone = new Promise((resolve) => running.once("exit", resolve));
    running.kill("SIGKILL");
    await gone;
  };
  // Should a test's process end without having stopped it.
  const end = () => void child?.kill("SIGKILL");
  process.on("exit", end);
  await start();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    folder,
    kill,
    start,
    pause: () => void child?.kill("SIGSTOP"),
    resume: () => void child?.kill("SIGCONT"),
    stop: async () => {
      await kill();
      process.off("exit", end);
      await rm(folder, { recursive: true, force: true });
    },
    command: (...args) => sendCommand(port, args, options.password),
  };
}

async function answers(port: number, { tls, password }: RedisServerOptions, loading = false): Promise<boolean> {
  if (tls) {
    return await new Promise((resolve) => {
      const socket = connectSocket(port, "127.0.0.1", () => (socket.destroy(), resolve(true)));
      socket.on("error", () => resolve(false));
    });
  }
  try {
    const reply = await sendCommand(port, ["PING"], password);
    return reply.startsWith("+PONG") || (loading && reply.startsWith("-LOADING"));
  } catch {
    return false;
  }
}

/** Sends one command over a connection of its own and returns the raw reply. */
export function sendCommand(port: number, args: readonly string[], password?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const encode = (list: readonly string[]) =>
      `*${list.length}\r\n` + list.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join("");
    const socket = connectSocket(port, "127.0.0.1");
    socket.setTimeout(10_000, () => socket.destroy(new Error("timeout")));
    let text = "";
    // QUIT makes the server close behind the reply, so that the whole of it is known to be there.
    socket.on("connect", () => {
      socket.write((password === undefined ? "" : encode(["AUTH", password])) + encode(args) + encode(["QUIT"]));
    });
    socket.on("data", (chunk) => text += String(chunk));
    socket.on("error", reject);
    socket.on("close", () => {
      if (password !== undefined) text = text.replace(/^\+OK\r\n/, "");
      resolve(text.replace(/\+OK\r\n$/, ""));
    });
  });
}
