/**
 * Processes: the runtimes, as `deno task prepare` put them into `.tools/`, and redis-server.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The repository. */
export const root: string = fileURLToPath(new URL("..", import.meta.url));

/** Where the package runs. */
export type Runtime = "deno" | "bun" | "node";

/** All of them. */
export const runtimes: readonly Runtime[] = ["deno", "bun", "node"];

/** The command that runs a script of a working copy. */
export function command(runtime: Runtime, script: string, copy: string = root): [string, ...string[]] {
  const path = join(root, ".tools/bin", runtime);
  const program = existsSync(path) ? path : runtime === "deno" ? process.execPath : undefined;
  if (program === undefined) throw new Error(`Cannot find ${runtime}: run \`deno task prepare\` first`);
  if (runtime === "bun") return [program, "run", script];
  if (runtime === "node") return [program, "--disable-warning=ExperimentalWarning", script];
  const offline = join(copy, "deno.offline.json");
  const config = existsSync(offline) ? offline : join(copy, "deno.json");
  return [program, "run", "-A", "--no-check", "--no-lock", "--config", config, script];
}

/** What a process wrote, once it has ended well. */
export function output(
  [program, ...args]: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string; readonly timeoutMs?: number } = {},
): Promise<string> {
  const { env = {}, cwd = root, timeoutMs = 180_000 } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program ?? "", args, { cwd, env: { ...process.env, NO_COLOR: "1", ...env } });
    let text = "";
    let trouble = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => trouble += chunk);
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(text);
      else reject(new Error(`${program} ${args.join(" ")} ended with ${code}:\n${trouble.slice(-2_000)}`));
    });
  });
}

/** A program and the variables it needs: from the PATH, else where `deno task prepare` unpacked it. */
export function findProgram(name: string): { readonly path: string; readonly env: Record<string, string> } | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, name);
    if (folder !== "" && existsSync(path)) return { path, env: {} };
  }
  const unpacked = join(root, ".tools/debian/usr");
  const path = join(unpacked, "bin", name);
  if (!existsSync(path)) return undefined;
  const libraries = readdirSync(join(unpacked, "lib")).filter((each) => each.includes("-linux-gnu"));
  return { path, env: { LD_LIBRARY_PATH: libraries.map((each) => join(unpacked, "lib", each)).join(delimiter) } };
}

/** A running redis-server. */
export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** Forgets everything. */
  flush(): Promise<void>;
}

/** Starts a redis-server on loopback, with an append-only file that is flushed each second. */
export async function startRedis(): Promise<RedisServer> {
  const program = findProgram("redis-server");
  if (program === undefined) throw new Error("Cannot find redis-server: run `deno task prepare` first");
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "abe-mq-bench-"));
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"];
  const child = spawn(program.path, args, { stdio: "ignore", env: { ...process.env, ...program.env } });
  for (let i = 0; !(await say(port, "PING")).startsWith("+PONG"); i++) {
    if (i > 500 || child.exitCode !== null) throw new Error("redis-server does not start");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    flush: async () => void await say(port, "FLUSHALL"),
    [Symbol.asyncDispose]: async () => {
      await end(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
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

/** The first words of Redis's answer; empty when there is none. */
function say(port: number, words: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => socket.write(`${words}\r\n`));
    socket.on("data", (data) => (resolve(String(data)), socket.destroy()));
    socket.on("error", () => resolve(""));
    socket.on("close", () => resolve(""));
  });
}
