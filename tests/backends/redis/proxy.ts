/**
 * A TCP proxy whose connections can be cut, or left to vanish: packets are swallowed and nothing is closed.
 *
 * @module
 */

import { connect, createServer, type Socket } from "node:net";

/** A running proxy. */
export interface Proxy {
  readonly port: number;
  readonly url: string;
  /** How many connections it has carried. */
  readonly carried: () => number;
  /** Resets every connection. New ones are carried. */
  cut(): void;
  /** Resets every connection as soon as the server has answered so many bytes more: an answer is cut in the middle. */
  cutAfter(bytes: number): void;
  /** From now on what goes through the connections there are is lost, both ways. New ones are carried. */
  vanish(): void;
  close(): Promise<void>;
}

/** Starts a proxy to a port on loopback. */
export async function startProxy(target: number): Promise<Proxy> {
  const pairs = new Set<{ readonly client: Socket; readonly server: Socket; lost: boolean }>();
  let carried = 0;
  let left = Infinity;
  const cut = () => {
    left = Infinity;
    for (const { client, server } of pairs) {
      client.destroy();
      server.destroy();
    }
    pairs.clear();
  };
  const listener = createServer((client) => {
    carried++;
    const server = connect(target, "127.0.0.1");
    const pair = { client, server, lost: false };
    pairs.add(pair);
    const end = () => {
      if (pair.lost) return;
      pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
    client.on("data", (chunk: Uint8Array) => {
      if (!pair.lost) server.write(chunk);
    });
    server.on("data", (chunk: Uint8Array) => {
      if (pair.lost) return;
      if (chunk.length < left) {
        left -= chunk.length;
        client.write(chunk);
      } else {
        client.write(chunk.subarray(0, left));
        setTimeout(cut, 1);
      }
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return {
    port: address.port,
    url: `redis://127.0.0.1:${address.port}`,
    carried: () => carried,
    cut,
    cutAfter: (bytes) => void (left = bytes),
    vanish: () => {
      for (const pair of pairs) pair.lost = true;
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      for (const pair of pairs) pair.lost = false;
      cut();
      await closed;
    },
  };
}
