/**
 * Serving a web-standard handler on loopback.
 *
 * @module
 */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A server. */
export interface Served extends AsyncDisposable {
  /** Its URL, with a slash at its end. */
  readonly url: string;
  /** What was asked for, in order. */
  readonly requests: string[];
}

/**
 * Starts a server.
 *
 * @param handler Answers requests.
 * @returns The server.
 */
export async function serveHandler(handler: (request: Request) => Response): Promise<Served> {
  const requests: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? "/", `http://${incoming.headers.host}`);
    requests.push(decodeURIComponent(url.pathname));
    const answer = async () => {
      const response = handler(new Request(url));
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      outgoing.end(new Uint8Array(await response.arrayBuffer()));
    };
    answer().catch((error: unknown) => outgoing.destroy(error as Error));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    requests,
    async [Symbol.asyncDispose](): Promise<void> {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
