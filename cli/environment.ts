/**
 * The variables of the process, also where Deno lets the command line read only some.
 *
 * @module
 */

import process from "node:process";

/** The variables that the package and its own backends read. */
export const knownVariables: readonly string[] = [
  "MESSAGE_QUEUE_BACKEND",
  "QUEUE_BACKEND",
  "ABE_MQ_PLUGIN_URL",
  "ABE_MQ_PLUGINS",
  "ABE_MQ_PLUGIN_HOSTS",
  "ABE_MQ_PLUGIN_FROZEN",
  "ABE_MQ_CACHE_DIR",
  "JSR_URL",
  "MESSAGE_QUEUE_URL",
  "MESSAGE_QUEUE_HOST",
  "MESSAGE_QUEUE_PORT",
  "MESSAGE_QUEUE_USERNAME",
  "MESSAGE_QUEUE_PASSWORD",
  "MESSAGE_QUEUE_VHOST",
  "MESSAGE_QUEUE_PATH",
  "MESSAGE_QUEUE_EXCHANGE",
  "MESSAGE_QUEUE_MAX_LENGTH",
  "MESSAGE_QUEUE_MAX_AGE_MS",
  "MESSAGE_QUEUE_DEDUP_WINDOW_MS",
  "MESSAGE_QUEUE_SYNCHRONOUS",
  "MESSAGE_QUEUE_PARTITIONS",
  "REDIS_URL",
  "REDIS_SENTINEL_MASTER",
  "REDIS_MIN_REPLICAS",
  "REDIS_TIMEOUT_MS",
  "REDIS_TLS_CA",
  "REDIS_TLS_CERT",
  "REDIS_TLS_KEY",
  "REDIS_TLS_SERVERNAME",
  "ABSTRACT_BACKEND_DEBUG",
  "MESSAGE_QUEUE_BACKEND_DEBUG",
];

interface DenoLike {
  readonly permissions: { querySync(descriptor: object): { readonly state: string } };
}

/**
 * Reads the variables: all of them or, where Deno does not grant that, those that are known and granted.
 *
 * @returns Names and values.
 */
export function readEnvironment(): Readonly<Record<string, string | undefined>> {
  const deno = (globalThis as { readonly Deno?: DenoLike }).Deno;
  const isGranted = (descriptor: object) =>
    deno?.permissions.querySync({ name: "env", ...descriptor }).state === "granted";
  if (deno === undefined || isGranted({})) return process.env;
  const names = [...knownVariables, "NO_COLOR", "TERM"].filter((variable) => isGranted({ variable }));
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}
