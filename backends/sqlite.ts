/**
 * A durable queue in one file, shared by the processes and runtimes of one machine; nothing to install.
 *
 * `MESSAGE_QUEUE_BACKEND=sqlite` and, where the default `./abe-mq.db` does not do, `MESSAGE_QUEUE_URL=file:./events.db`. Uses
 * `node:sqlite`, which Deno (2.9), Bun (1.4) and Node (24) all have. The file must be on a local disk, as the processes share memory.
 *
 * @example
 * ```ts ignore
 * import { MessageQueue } from "@abe/mq";
 * import { SqliteBackend } from "@abe/mq/sqlite";
 *
 * await using mq = new MessageQueue(new SqliteBackend({ path: "./events.db" }));
 * await mq.publish("order.created", { id: 1 });
 * ```
 *
 * @module
 */

import type {
  Capabilities,
  DeadLetterStore,
  DurableBackend,
  GroupStore,
  QueueStats,
  Receiver,
  ReceiveOptions,
} from "../core/backend.ts";
import type { Env } from "../core/env.ts";
import { MessageQueueError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { SqliteDeadLetters } from "./sqlite/dead_letters.ts";
import { storageError } from "./sqlite/errors.ts";
import { SqliteGroups } from "./sqlite/groups.ts";
import { optionsFromEnv, type Settings, settingsFrom, type SqliteOptions } from "./sqlite/options.ts";
import { openSession, type Session } from "./sqlite/session.ts";
import { stats } from "./sqlite/stats.ts";

export type { SqliteOptions } from "./sqlite/options.ts";
