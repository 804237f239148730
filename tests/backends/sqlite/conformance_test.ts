import { SqliteBackend } from "../../../backends/sqlite.ts";
import { testBackend } from "../../../testing/mod.ts";
import { open, sharedFile, shareFile } from "./shared_file.ts";

shareFile();

testBackend({
  name: "sqlite",
  open,
  openBounded: (exchange, settings) =>
    Promise.resolve(new SqliteBackend({ path: sharedFile(), exchange, ...settings })),
  capabilities: {
    groups: true,
    keys: true,
    leases: true,
    delay: true,
    ordering: true,
    dedup: true,
    deadLetters: true,
    retention: true,
    expiry: true,
    atomicBatch: true,
    stats: true,
    durable: true,
    codecs: true,
  },
  child: new URL("./shared_file.ts", import.meta.url).href,
  environment: {
    module: SqliteBackend,
    wrong: {
      MESSAGE_QUEUE_URL: "redis://user:hunter2@example.com/",
      MESSAGE_QUEUE_EXCHANGE: "a\u0007b",
      MESSAGE_QUEUE_MAX_LENGTH: "many",
      MESSAGE_QUEUE_MAX_AGE_MS: "-1",
      MESSAGE_QUEUE_DEDUP_WINDOW_MS: "0.5",
      MESSAGE_QUEUE_SYNCHRONOUS: "OFF",
    },
    secrets: ["hunter2"],
  },
});
