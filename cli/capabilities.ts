/**
 * What each backend declares.
 *
 * @module
 */

import {
  type Capabilities,
  ConfigError,
  describeError,
  type DiscoveryOptions,
  type Env,
  envFrom,
  getMessageQueueBackend,
  type MessageQueueBackend,
} from "@abe/mq";
import { listPlugins } from "@abe/mq/plugins";

/** A backend and what it declares. */
export interface BackendInfo {
  /** Its name. */
  readonly name: string;
  /** What kind of place names it. */
  readonly from: string;
  /** What it declares; absent when it cannot be made. */
  readonly capabilities?: Capabilities;
  /** Whether messages are settled one by one (`receive`). */
  readonly receive?: boolean;
  /** Why it cannot be made. */
  readonly error?: string;
}

/** The capabilities in the order in which they are shown, each with what it means. */
export const capabilityTexts: Readonly<Record<keyof Capabilities, string>> = {
  durable: "messages outlive the process",
  groups: "several groups, each getting every message",
  keys: "filters by key",
  leases: "what a dead consumer held comes again",
  delay: "delayed messages and retries",
  ordering: "ordering keys",
  dedup: "deduplication by id",
  deadLetters: "dead letters",
  retention: "bounds by length and age",
  expiry: "groups that vanish",
  atomicBatch: "batches stored whole or not at all",
  stats: "counts by group",
  codecs: "payloads in other formats than JSON",
};

/**
 * Reads what every backend declares that an application could name. Nothing is connected.
 *
 * @param options Where to look.
 * @returns The backends.
 */
export async function readBackends(options: DiscoveryOptions): Promise<BackendInfo[]> {
  const plugins = await listPlugins(options);
  const found: BackendInfo[] = [];
  for (const { name, from, specifier, shadowed } of plugins) {
    if (shadowed) continue;
    // What a variable names is a specifier, not a name.
    const backend = from === "variable" ? specifier ?? name : name;
    found.push({ name, from, ...await declared(backend, from === "built-in", options) });
  }
  return found;
}

async function declared(
  backend: string,
  isBuiltIn: boolean,
  options: DiscoveryOptions,
): Promise<Pick<BackendInfo, "capabilities" | "receive" | "error">> {
  try {
    await using made = disposable(await make(backend, isBuiltIn, options));
    const { capabilities = {}, receive } = made.backend;
    return { capabilities, receive: receive !== undefined };
  } catch (error) {
    return { error: describeError(error) };
  }
}

// The variables may be those of another backend; what a built-in one declares does not depend on them.
async function make(backend: string, isBuiltIn: boolean, options: DiscoveryOptions): Promise<MessageQueueBackend> {
  if (!isBuiltIn) return await getMessageQueueBackend({ ...options, backend });
  const withEnv = (env: Env) => getMessageQueueBackend({ ...options, backend, env });
  try {
    return await withEnv(envFrom({}));
  } catch (error) {
    if (error instanceof ConfigError) return await withEnv(envFrom({ MESSAGE_QUEUE_HOST: "localhost" }));
    throw error;
  }
}

function disposable(backend: MessageQueueBackend): { backend: MessageQueueBackend } & AsyncDisposable {
  return { backend, [Symbol.asyncDispose]: async () => await backend[Symbol.asyncDispose]?.() };
}

/**
 * The names of the capabilities, in the order in which they are shown.
 *
 * @returns The names.
 */
export function capabilityNames(): (keyof Capabilities)[] {
  return Object.keys(capabilityTexts) as (keyof Capabilities)[];
}
