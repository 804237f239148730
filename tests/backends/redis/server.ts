/**
 * A real redis-server on loopback, for tests: a free port, a temporary folder, every write on disk before it is answered.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  /** Starts it again over the same files, once it was killed. */
  start(options?: RestartOptions): Promise<void>;
  /** SIGKILL, and its folder is gone. */
  stop(): Promise<void>;
  /** Sends a command over a connection of its own; the reply is its raw text. */
  command(...args: string[]): Promise<string>;
}

/** How a server is started. */
export interface RedisServerOptions {
  /** More settings, as on its command line. */
  readonly args?: readonly string[];
  /** What the `command` method logs in with. */
  readonly password?: string;
  /** Writes files that the settings name, into the server's folder. */
  readonly prepare?: (folder: string) => Promise<void>;
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
  const port = await freePort();
  return await launch(port, options, (folder) => [
    ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--logfile", "redis.log"],
    ...["--save", "", "--appendonly", "yes", "--appendfsync", "always"],
    ...options.args ?? [],
  ]);
}

/** Starts a sentinel by its `sentinel.conf`, which `prepare` writes. */
export async function startSentinel(port: number, prepare: (folder: string) => Promise<void>): Promise<RedisServer> {
  return await launch(
    port,
    { prepare },
    (folder) => [join(folder, "sentinel.conf"), "--sentinel", "--logfile", join(folder, "redis.log")],
  );
}

async function launch(
  port: number,
  { password, prepare }: RedisServerOptions,
  argsIn: (folder: string) => readonly string[],
): Promise<RedisServer> {
  const program = findProgram("redis-server");
  if (program === undefined) throw new Error("Cannot find redis-server: `deno task prepare` fetches it");
  const folder = await mkdtemp(join(tmpdir(), "abe-mq-redis-"));
  await prepare?.(folder);
  let child: ChildProcess | undefined;
  const start = async ({ args = [], loading = false }: RestartOptions = {}) => {
    const started = spawn(program.command, [...argsIn(folder), ...args], {
      stdio: "ignore",
      env: { ...process.env, ...program.env },
      cwd: folder,
    });
    child = started;
    started.on("error", ignore);
    for (const deadline = Date.now() + 30_000; Date.now() < deadline;) {
      if (started.exitCode !== null) throw new Error(`redis-server ended with code ${started.exitCode}`);
      const reply = await sendCommand(port, ["PING"], password).catch(() => "");
      if (reply.startsWith("+PONG") || (loading && reply.startsWith("-LOADING"))) return;
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
    stop: async () => {
      await kill();
      process.off("exit", end);
      await rm(folder, { recursive: true, force: true });
    },
    command: (...args) => sendCommand(port, args, password),
  };
}

// A program that cannot be started does not answer, which is told.
function ignore(): void {}

/** Sends one command over a connection of its own and returns the raw reply. */
export function sendCommand(port: number, args: readonly string[], password?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const encode = (list: readonly string[]) =>
      `*${list.length}\r\n` + list.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join("");
    const socket = connectSocket(port, "127.0.0.1");
    socket.setTimeout(10_000, () => socket.destroy(new Error("timeout")));
    let text = "";
    // A command that there is none of behind it: its error shows that the whole reply is there. (A sentinel knows no QUIT.)
    socket.on("connect", () => {
      socket.write((password === undefined ? "" : encode(["AUTH", password])) + encode(args) + encode(["abe-mq-end"]));
    });
    socket.on("data", (chunk) => {
      text += String(chunk);
      const end = /-(ERR unknown command|LOADING|NOAUTH|NOPERM|MASTERDOWN)[^\r]*\r\n$/.exec(text);
      if (end !== null && end.index > 0) socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => {
      if (password !== undefined) text = text.replace(/^\+OK\r\n/, "");
      resolve(text.replace(/-[^\r]*\r\n$/, ""));
    });
  });
}
