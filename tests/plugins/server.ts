/** A server on loopback for modules, written by hand in each test. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
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

export async function serve(answers: Record<string, Answer>): Promise<TestServer> {
  const table = new Map(Object.entries(answers));
  const prefix = `/${crypto.randomUUID().slice(0, 8)}`;
  const requests: string[] = [];
  const headers: IncomingMessage["headers"][] = [];
  const server = createServer((request, response) => {
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
  });
  const port = await listen(server);
  return {
    origin: `http://127.0.0.1:${port}${prefix}`,
    host: `127.0.0.1:${port}`,
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

const portsSeen = new Set<number>();

/** Listens on a port that no earlier server of this process had: Deno keeps modules by their URL for as long as the process lives. */
async function listen(server: Server): Promise<number> {
  for (;;) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    if (!portsSeen.has(port)) {
      portsSeen.add(port);
      return port;
    }
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}
