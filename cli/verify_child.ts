/**
 * What the conformance kit loads in the processes of its consumers: opens the backend that `mq verify` tries.
 *
 * @module
 */

import { getMessageQueueBackend, type MessageQueueBackend, processEnv, silentLogger } from "@abe/mq";

/** Where this module is, in whatever form the package is installed. */
export const verifyChildUrl: string = import.meta.url;

/** The variable that tells the process which backend. */
export const targetVariable = "ABE_MQ_VERIFY_BACKEND";

/**
 * Opens an instance over the store of an exchange.
 *
 * @param exchange The exchange.
 * @returns The backend.
 */
export function open(exchange: string): Promise<MessageQueueBackend> {
  const backend = processEnv.getOptional(targetVariable);
  const get = (name: string) => name === "MESSAGE_QUEUE_EXCHANGE" ? exchange : processEnv.get(name);
  const getOptional = (name: string) => name === "MESSAGE_QUEUE_EXCHANGE" ? exchange : processEnv.getOptional(name);
  const env = { get, getOptional };
  return getMessageQueueBackend({ env, logger: silentLogger, ...(backend !== undefined && { backend }) });
}
