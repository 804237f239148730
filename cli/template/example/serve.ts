/**
 * Serves this package's TypeScript files, to load the backend by URL.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";

const files = new Set(["/mod.ts", "/engine.ts", "/errors.ts"]);

const server = createServer(async (request, response) => {
  const path = request.url ?? "";
  if (!files.has(path)) return response.writeHead(404).end();
  const text = await readFile(new URL(`..${path}`, import.meta.url), "utf8");
  response.writeHead(200, { "content-type": "application/typescript" }).end(text);
});
server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(`ABE_MQ_PLUGIN_URL=http://127.0.0.1:${port}/mod.ts`);
});
