/** A server on loopback for modules, written by hand in each test. */

import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

/** What a path answers: text, or a function that answers itself. */
export type Answer =
  | string
  | { readonly redirect: string; readonly status: number }
  | ((request: IncomingMessage, response: ServerResponse) => void);

export interface TestServer extends AsyncDisposable {
  /**
   * Where its paths begin, without a slash at its end. A part of it is made up anew for each server: ports are used again, and Deno
   * keeps modules by their URL.
   */
  readonly origin: string;
  /** `host:port`. */
  readonly host: string;
  /** The paths asked for, in order. */
  readonly requests: string[];
  /** The headers of the requests, in order. */
  readonly headers: IncomingMessage["headers"][];
  /** What each path answers; may be changed while it runs. */
  readonly answers: Map<string, Answer>;
}

const types: Readonly<Record<string, string>> = {
  ts: "application/typescript",
  js: "text/javascript",
  json: "application/json",
};

/**
 * Starts a server.
 *
 * @param answers What each path answers.
 * @param options Whether it speaks TLS, as `localhost`, with a certificate by `fixtures/ca.crt`; it and its key are for these tests alone.
 */
export async function serve(
  answers: Record<string, Answer>,
  { tls = false }: { readonly tls?: boolean } = {},
): Promise<TestServer> {
  const table = new Map(Object.entries(answers));
  const prefix = `/${crypto.randomUUID().slice(0, 8)}`;
  const requests: string[] = [];
  const headers: IncomingMessage["headers"][] = [];
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const full = request.url ?? "/";
    const path = full.startsWith(`${prefix}/`) ? full.slice(prefix.length) : full;
    requests.push(path);
    headers.push(request.headers);
    const answer = table.get(path) ?? table.get(full);
    if (answer === undefined) {
      response.writeHead(404).end("not here");
    } else if (typeof answer === "function") {
      answer(request, response);
    } else if (typeof answer === "object") {
      const location = answer.redirect.startsWith("/") ? prefix + answer.redirect : answer.redirect;
      response.writeHead(answer.status, { location }).end();
    } else {
      const extension = /\.(\w+)(?:\?.*)?$/.exec(path)?.[1] ?? "";
      response.writeHead(200, { "content-type": types[extension] ?? "text/plain" }).end(answer);
    }
  };
  const fixture = (name: string) => readFile(new URL(`./fixtures/${name}`, import.meta.url));
  const server = tls
    ? createTlsServer({ key: await fixture("localhost.key"), cert: await fixture("localhost.crt") }, listener)
    : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: tls ? `https://localhost:${port}${prefix}` : `http://127.0.0.1:${port}${prefix}`,
    host: `${tls ? "localhost" : "127.0.0.1"}:${port}`,
    requests,
    headers,
    answers: table,
    async [Symbol.asyncDispose](): Promise<void> {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Answers with a redirect. */
export function redirect(to: string, status = 302): Answer {
  return { redirect: to, status };
}

/** Answers with a body under a media type of its own. */
export function typed(contentType: string, body: string): Answer {
  return (_request, response) => response.writeHead(200, { "content-type": contentType }).end(body);
}

/** The code of a backend that keeps what is published, and says who it is. */
export function lineBackend(name: string, extra = ""): string {
  return `${extra}
export default class LineBackend {
  static backendName = ${JSON.stringify(name)};
  name = ${JSON.stringify(name)};
  lines = [];
  static fromEnv(env) { return new LineBackend(); }
  async publish(key, payload) { this.lines.push(payload); }
  async *consume() { while (this.lines.length > 0) yield this.lines.shift(); }
}
`;
}
