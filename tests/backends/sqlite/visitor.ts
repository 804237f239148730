/** Opens a queue, publishes a message, and closes it again; then it must end by itself. `visitor.ts FILE` */

import process from "node:process";
import { SqliteBackend } from "../../../backends/sqlite.ts";

const backend = new SqliteBackend({ path: process.argv[2] ?? "" });
try {
  const receiver = await backend.receive({ group: "visitors", leaseMs: 30_000 });
  await backend.publish("visit", { n: 7 });
  await receiver.close();
  console.log("visited");
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  console.log(`refused ${code}: ${message}`);
} finally {
  await backend[Symbol.asyncDispose]();
}
