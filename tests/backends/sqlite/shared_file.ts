/** The file that the conformance suite and the processes that it starts share. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { SqliteBackend } from "../../../backends/sqlite.ts";

const variable = "ABE_MQ_TEST_SQLITE_FILE";

/** Makes a folder for the file, which goes with this process; children find it by the environment. */
export function shareFile(): void {
  const folder = mkdtempSync(join(tmpdir(), "abe-mq-sqlite-"));
  process.env[variable] = join(folder, "queue.db");
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
}

/** The file. */
export function sharedFile(): string {
  const path = process.env[variable];
  if (path === undefined) throw new Error(`Cannot find the shared file: ${variable} is not set`);
  return path;
}

/** Opens a backend on it. */
export function open(exchange: string): Promise<SqliteBackend> {
  return Promise.resolve(new SqliteBackend({ path: sharedFile(), exchange }));
}
