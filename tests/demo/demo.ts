/**
 * The demo's work: server, application, feed, and account.
 *
 * @module
 */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { compileFilter } from "../../mod.ts";
import { root, run, type Runtime, runtimeCommand } from "../process.ts";
import { type WebhookEvent, webhookEvents } from "./webhooks.ts";

/** What a demo has to say. */
export interface Account {
  /** For people. */
  readonly lines: readonly string[];
  /** Whether every payload reached every group as it was sent. */
  readonly ok: boolean;
}

interface Handled {
  readonly group: string;
  readonly attempt: number;
  readonly payload: unknown;
}

const groups = { audit: "#", issues: "github.issues.*" };

/** Options of {@linkcode runDemo}. */
export interface DemoOptions {
  /** A built-in backend; absent means the one that is served. */
  readonly backend?: string | undefined;
  /**
   * The folder that is served, whose `mod.ts` is the backend.
   *
   * @default {"examples/feed_plugin"}
   */
  readonly folder?: string;
  /**
   * The application waits for what is missing; it is killed after so many milliseconds.
   *
   * @default {90_000}
   */
  readonly timeoutMs?: number;
}

/**
 * Runs the event feed of `examples/` under a runtime.
 *
 * @param runtime The application's runtime.
 * @param options What it runs on.
 * @returns What happened.
 */
export async function runDemo(runtime: Runtime, options: DemoOptions = {}): Promise<Account> {
  const { backend, folder: served = join(root, "examples/feed_plugin"), timeoutMs = 90_000 } = options;
  const events = webhookEvents();
  const folder = await mkdtemp(join(tmpdir(), "abe-mq-demo-"));
  const requests: string[] = [];
  // Deno keeps what it fetched by its URL, and the port may be that of an earlier run.
  const prefix = `/${crypto.randomUUID()}/`;
  const server = await serve(served, prefix, requests);
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const url = `http://127.0.0.1:${port}${prefix}mod.ts`;
  const start = performance.now();
  try {
    const command = runtimeCommand(runtime, join(root, "examples/event_feed/main.ts"), {
      env: {
        ABE_MQ_CACHE_DIR: folder,
        ...(backend === undefined ? { ABE_MQ_PLUGIN_URL: url, MESSAGE_QUEUE_BACKEND: undefined } : {
          ABE_MQ_PLUGIN_URL: undefined,
          MESSAGE_QUEUE_BACKEND: backend,
          MESSAGE_QUEUE_PATH: join(folder, "demo.db"),
          MESSAGE_QUEUE_EXCHANGE: `demo_${process.pid}`,
        }),
      },
    });
    const input = events.map((event) => `${JSON.stringify(event)}\n`).join("");
    const result = await run(command, { input, timeoutMs });
    const handled: Handled[] = result.stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    const checks = Object.entries(groups).map(([group, keys]) => check(group, keys, events, handled));
    const failed = handledFailures(result.stderr);
    const from = backend === undefined ? `${url} (${requests.length} files fetched)` : `built in: ${backend}`;
    const lines = [
      `Application   examples/event_feed under ${runtime}`,
      `Backend       ${from}`,
      `Published     ${events.length} real webhook payloads`,
      ...checks.map((each) => each.line),
      `Redelivered   ${handled.filter(({ attempt }) => attempt > 1).length} after a failed attempt`,
      `Time          ${((performance.now() - start) / 1_000).toFixed(1)} s, start of the application included`,
    ];
    const ok = result.code === 0 && checks.every((each) => each.ok);
    if (result.code !== 0) lines.push(`The application ended with ${result.code ?? result.signal}`);
    if (!ok) lines.push(...failed);
    lines.push(ok ? "Every payload arrived as it was sent." : "FAILED: see above.");
    return { lines, ok };
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function check(
  group: string,
  keys: string,
  events: readonly WebhookEvent[],
  handled: readonly Handled[],
): { line: string; ok: boolean } {
  const matches = compileFilter(keys);
  const wanted = events.filter(({ key }) => matches(key)).map(({ payload }) => JSON.stringify(payload)).sort();
  const got = handled.filter((each) => each.group === group).map(({ payload }) => JSON.stringify(payload)).sort();
  const ok = wanted.length === got.length && wanted.every((text, i) => text === got[i]);
  const missing = ok ? "" : `, but ${wanted.length} were to come, each as it was sent`;
  return { line: `Group ${group.padEnd(8)}got ${got.length} (filter ${keys})${missing}`, ok };
}

/** What the application said, without the failures that the demo makes on purpose. */
function handledFailures(stderr: string): string[] {
  return stderr.split("\n").filter((line) => line !== "" && !line.includes("The store is busy"));
}

async function serve(folder: string, prefix: string, requests: string[]): Promise<Server> {
  const server = createServer(async (request, response) => {
    const name = new URL(request.url ?? "/", "http://localhost").pathname.replace(prefix, "");
    try {
      // Only plain names: nothing outside the folder is served.
      if (!/^[a-z_]+\.ts$/.test(name)) throw new Error("No such file");
      const text = await readFile(join(folder, name));
      requests.push(name);
      response.writeHead(200, { "content-type": "application/typescript" }).end(text);
    } catch (error) {
      response.writeHead(404, { "content-type": "text/plain" }).end(`${(error as Error).message}\n`);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
