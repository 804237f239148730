/**
 * Finding the backend at start-up: by an argument, a variable, a map, a URL, or what is installed.
 *
 * @module
 */

import type { MessageQueueBackend } from "../core/backend.ts";
import { describeError, MessageQueueError } from "../core/errors.ts";
import type { MessageQueueOptions } from "../core/options.ts";
import { MessageQueue } from "../core/queue.ts";
import { discovery, type DiscoveryOptions } from "./discovery.ts";
import { findModule } from "./find.ts";
import { checkBackend } from "./module.ts";
import { hideCredentials } from "./remote/url.ts";

export type { DiscoveryOptions } from "./discovery.ts";
export type { Limits } from "./remote/limits.ts";
export type { RemoteOptions } from "./settings.ts";
export type { PluginOption } from "./sources.ts";

/**
 * Finds the backend that the application is to use, and makes it.
 *
 * The `backend` option counts first; then `ABE_MQ_PLUGIN_URL`, then `MESSAGE_QUEUE_BACKEND`, then the only plugin that is configured, and
 * with nothing at all the memory backend, with a warning. What was asked for and cannot be loaded is an error, never something else.
 *
 * @param options Where to look.
 * @returns The backend as its module made it.
 * @throws {MessageQueueError} `plugin_not_found`, `plugin_invalid`, `plugin_failed`, `plugin_refused`, `plugin_ambiguous`, `timeout`,
 *   `storage`.
 * @throws {ConfigError} When a setting is missing or wrong.
 *
 * @example
 * ```ts
 * import { envFrom, getMessageQueueBackend } from "@abe/mq";
 *
 * const backend = await getMessageQueueBackend({ env: envFrom({ MESSAGE_QUEUE_BACKEND: "memory" }) });
 * await backend.publish("order.created", { id: 1 });
 * ```
 */
export async function getMessageQueueBackend(options: DiscoveryOptions = {}): Promise<MessageQueueBackend> {
  const found = discovery(options);
  const { env, logger } = found;
  const { module, where } = await findModule(found);
  logger.debug(`The backend comes from ${where}`);
  let made: unknown;
  try {
    made = await module.fromEnv(env);
  } catch (error) {
    if (error instanceof MessageQueueError) throw error;
    throw new MessageQueueError(
      "plugin_failed",
      `Cannot make the backend of ${where}: its \`fromEnv\` failed. ${hideCredentials(describeError(error))}`,
      { cause: error },
    );
  }
  return checkBackend(made, where);
}

/**
 * Finds the backend that the application is to use, and wraps it in a queue.
 *
 * @param options Where to look, and the options of the queue.
 * @returns The queue; it disposes the backend with itself.
 * @throws {MessageQueueError} As `getMessageQueueBackend` does.
 *
 * @example
 * ```ts
 * import { envFrom, openQueue } from "@abe/mq";
 *
 * await using mq = await openQueue({ env: envFrom({ MESSAGE_QUEUE_BACKEND: "memory" }) });
 * await mq.publish("order.created", { id: 1 });
 * ```
 */
export async function openQueue(options: DiscoveryOptions & MessageQueueOptions = {}): Promise<MessageQueue> {
  const backend = await getMessageQueueBackend(options);
  return new MessageQueue(backend, { ...options, logger: discovery(options).logger });
}
