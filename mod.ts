/**
 * A message queue for Deno, Bun and Node whose broker is chosen at start-up: by a name, a map of plugins, or a URL.
 *
 * @example
 * ```ts
 * import { MessageQueue } from "@abe/mq";
 * import { MemoryBackend } from "@abe/mq/memory";
 *
 * await using mq = new MessageQueue(new MemoryBackend());
 * await mq.publish("order.created", { id: 1 });
 * for await (const payload of mq.consume({ group: "billing", keys: "order.*" })) {
 *   console.log(payload);
 *   break;
 * }
 * ```
 *
 * @module
 */

export { type DeadLetter, type DeadLetterList, type DeadLetters, type Groups } from "./core/administration.ts";
export {
  type Capabilities,
  type Claim,
  type ConsumeOptions,
  type DeadLetter as StoredDeadLetter,
  type DeadLetterPage,
  type DeadLetterStore,
  type DeadReason,
  defaultGroup,
  defaultLeaseMs,
  defaultMaxAttempts,
  type DurableBackend,
  type Finding,
  type Group,
  type GroupOptions,
  type GroupStats,
  type GroupStore,
  type MessageQueueBackend,
  type MessageQueueBackendModule,
  type PullOptions,
  type QueueStats,
  type ReceiveOptions as BackendReceiveOptions,
  type Receiver,
  type Settlement,
} from "./core/backend.ts";
export { type Backoff, type BackoffOptions, exponentialBackoff } from "./core/backoff.ts";
export {
  type Body,
  type BytesCodec,
  type Codec,
  decodePayload,
  encodePayload,
  jsonCodec,
  type Payload,
  type TextCodec,
} from "./core/codec.ts";
export type { CodecOptions } from "./core/codecs.ts";
export { consumePayloads, defaultPrefetch } from "./core/consumer.ts";
export type { Delivery, NackOptions } from "./core/delivery.ts";
export { type Env, envFrom, processEnv } from "./core/env.ts";
export {
  ConfigError,
  describeError,
  isRetryable,
  MessageQueueError,
  type MessageQueueErrorCode,
  type MessageQueueErrorOptions,
  type PublishFailure,
  PublishManyError,
} from "./core/errors.ts";
export { checkFilter, checkKey, compileFilter, everyKey, type KeyMatcher, maxKeyLength } from "./core/keys.ts";
export { consoleLogger, type Logger, loggerFromEnv, silentLogger } from "./core/logger.ts";
export { createMessage, type Encoded, type Headers, type Message, type PublishOptions } from "./core/message.ts";
export type {
  Middleware,
  MiddlewareContext,
  MiddlewareMessage,
  ProcessContext,
  PublishContext,
} from "./core/middleware.ts";
export type { Check, CheckedMessage } from "./core/passage.ts";
export { publishOne } from "./core/publish.ts";
export type {
  MessageQueueOptions,
  OutgoingMessage,
  Publishes,
  QueueState,
  ReceiveOptions,
  StateChange,
  SubscribeOptions,
} from "./core/options.ts";
export { MessageQueue } from "./core/queue.ts";
export { leastVersions, runtime, type RuntimeName, runtimeVersion } from "./core/runtime.ts";
export {
  type DrainOptions,
  type Failure,
  type Handler,
  type RetryPolicy,
  retryWithBackoff,
  type Subscription,
} from "./core/runner.ts";
export type {
  SchemaInput,
  SchemaIssue,
  SchemaOutput,
  SchemaResult,
  SchemaWriter,
  StandardSchema,
} from "./core/standard_schema.ts";
export {
  type TopicDelivery,
  type TopicFilterOf,
  type TopicFilterOption,
  type TopicMessage,
  TopicQueue,
  type TopicSource,
} from "./core/topic_queue.ts";
export {
  defineTopics,
  InvalidPayloadError,
  type SchemaOf,
  type Topic,
  type TopicDefinitions,
  type TopicInput,
  type TopicKey,
  type TopicOptions,
  type TopicOutput,
  Topics,
  type Upgrade,
} from "./core/topics.ts";
export {
  type DiscoveryOptions,
  getMessageQueueBackend,
  type Limits,
  openQueue,
  type PluginOption,
  type RemoteOptions,
} from "./plugins/open.ts";
