/**
 * Topics: what is published under which key, by a schema of any library, through its versions.
 *
 * @module
 */

import { checkInteger } from "./check.ts";
import type { Payload } from "./codec.ts";
import { branded, describeError, MessageQueueError } from "./errors.ts";
import { checkKey } from "./keys.ts";
import type { Headers } from "./message.ts";
import type { SchemaInput, SchemaIssue, SchemaOutput, StandardSchema } from "./standard_schema.ts";

/** Makes the next version's payload of one version's. */
export type Upgrade = (payload: Payload) => unknown;

/** A topic with more to it than a schema. */
export interface TopicOptions<S extends StandardSchema = StandardSchema> {
  /** What is published: what the schema takes. What a consumer gets is what the schema makes of it. */
  readonly schema: S;
  /**
   * The version of the schema, a whole number from 1. It travels in the header `version`.
   *
   * @default {1}
   */
  readonly version?: number;
  /** For each older version that may still arrive, what makes the next one's payload of it. */
  readonly upgrade?: Readonly<Record<number, Upgrade>>;
  /** What the topic is about, for the documents made of it. */
  readonly description?: string;
}

/** Topics by key. */
export type TopicDefinitions = Readonly<Record<string, StandardSchema | TopicOptions>>;

/** The schema of a topic, which is given by itself or among options. */
export type SchemaOf<D> = D extends StandardSchema ? D : D extends TopicOptions<infer S> ? S : never;

/** The keys of topics. */
export type TopicKey<T extends TopicDefinitions> = keyof T & string;

/** What may be published under a key. */
export type TopicInput<T extends TopicDefinitions, K extends TopicKey<T>> = Extract<
  SchemaInput<SchemaOf<T[K]>>,
  object
>;

/** What arrives under a key. */
export type TopicOutput<T extends TopicDefinitions, K extends TopicKey<T>> = Extract<
  SchemaOutput<SchemaOf<T[K]>>,
  object
>;

const brand: unique symbol = Symbol.for("@abe/mq/InvalidPayloadError") as never;

/**
 * A payload that is not what its topic says. Its message counts the issues and quotes none, as they may quote the payload.
 *
 * @example
 * ```ts
 * import { InvalidPayloadError } from "@abe/mq";
 *
 * const error = new InvalidPayloadError("Cannot publish", "order.created", [{ message: "expected a number", path: ["id"] }]);
 * console.assert(error.code === "invalid_payload" && error.issues.length === 1);
 * ```
 */
export class InvalidPayloadError extends MessageQueueError {
  /** What is wrong. */
  readonly issues: readonly SchemaIssue[];

  /**
   * Makes an error.
   *
   * @param action What failed.
   * @param key The topic.
   * @param issues What is wrong.
   */
  constructor(action: string, key: string, issues: readonly SchemaIssue[]) {
    const count = issues.length === 1 ? "1 issue" : `${issues.length} issues`;
    super("invalid_payload", `${action} ${JSON.stringify(key)}: its payload is invalid (${count})`);
    this.name = "InvalidPayloadError";
    this.issues = issues;
    Object.defineProperty(this, brand, { value: true });
  }

  /**
   * Whether `value` is such an error, of this or of another copy of the package.
   *
   * @param value Anything.
   * @returns Whether it is one.
   */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return branded(value, brand);
  }
}

// A dead letter need not carry the issue of each of a million items.
const mostIssues = 20;

/**
 * An error as a dead letter keeps it: with the issues behind its message.
 *
 * @param error What stopped the message.
 * @returns The text.
 */
export function errorWithIssues(error: unknown): string {
  const text = describeError(error);
  if (!(error instanceof InvalidPayloadError)) return text;
  const issues = error.issues.slice(0, mostIssues).map(({ message, path }) => ({
    message,
    ...(path !== undefined && { path: path.map((each) => typeof each === "object" ? each.key : each).map(printable) }),
  }));
  return `${text}: ${JSON.stringify(issues)}`;
}

function printable(name: PropertyKey): string | number {
  return typeof name === "symbol" ? String(name) : name;
}

/** A topic as it was defined, with its defaults. */
export interface Topic {
  /** Its key. */
  readonly key: string;
  /** Its schema. */
  readonly schema: StandardSchema;
  /** The version of its schema. */
  readonly version: number;
  /** What makes a payload of the next version. */
  readonly upgrade: Readonly<Record<number, Upgrade>>;
  /** What it is about. */
  readonly description: string | undefined;
}

/** Topics by key, as {@linkcode defineTopics} makes them. */
export class Topics<T extends TopicDefinitions> implements Iterable<Topic> {
  readonly #topics: ReadonlyMap<string, Topic>;

  /**
   * Use {@linkcode defineTopics}.
   *
   * @param definitions Schemas by key.
   */
  constructor(definitions: T) {
    this.#topics = new Map(Object.entries(definitions).map(([key, each]) => [key, topicOf(key, each)]));
  }

  /**
   * One of them.
   *
   * @param key Its key.
   * @returns The topic; `undefined` when there is none.
   */
  get(key: string): Topic | undefined {
    return this.#topics.get(key);
  }

  /** All of them. */
  [Symbol.iterator](): Iterator<Topic> {
    return this.#topics.values();
  }

  /**
   * Checks what is to be published.
   *
   * @param key The topic.
   * @param payload What to publish.
   * @returns The headers that it needs.
   * @throws {InvalidPayloadError} When there is no such topic, or the payload is not what it says.
   */
  async outgoing(key: string, payload: unknown): Promise<Headers> {
    const topic = this.#find("Cannot publish", key);
    await validate("Cannot publish", topic, payload);
    return { [versionHeader]: String(topic.version) };
  }

  /**
   * Checks what arrived, upgrading it first where it is of an older version.
   *
   * @param key The topic.
   * @param payload What arrived.
   * @param headers Its headers.
   * @returns What the schema makes of it.
   * @throws {InvalidPayloadError} When there is no such topic, or the payload is not what it says.
   */
  async incoming(key: string, payload: Payload, headers: Headers): Promise<Payload> {
    const topic = this.#find("Cannot take", key);
    const value = await validate("Cannot take", topic, await upgraded(topic, payload, headers));
    if (typeof value === "object" && value !== null) return value;
    throw invalid("Cannot take", key, "the schema makes no object or array of it");
  }

  #find(action: string, key: string): Topic {
    const topic = this.#topics.get(key);
    if (topic === undefined) throw invalid(action, key, "there is no topic of this key");
    return topic;
  }
}

/** The header that says which version of its schema a payload follows; without it, it is version 1. */
export const versionHeader = "version";

/**
 * Says what is published under which key.
 *
 * @param definitions By key, a schema of any library that follows Standard Schema (zod, valibot, ArkType, ...), or a
 *   {@linkcode TopicOptions} with one.
 * @returns The topics, for `mq.with(topics)`.
 * @throws {TypeError} When a key, schema, version or upgrade is wrong.
 *
 * @example
 * ```ts
 * import { defineTopics, MessageQueue } from "@abe/mq";
 * import { MemoryBackend } from "@abe/mq/memory";
 * import { z } from "zod";
 *
 * const topics = defineTopics({
 *   "order.created": z.object({ id: z.number(), at: z.coerce.date() }),
 *   "order.paid": {
 *     schema: z.object({ id: z.number(), cents: z.number() }),
 *     version: 2,
 *     upgrade: { 1: (old) => ({ ...old, cents: Number(Reflect.get(old, "euros")) * 100 }) },
 *   },
 * });
 * await using mq = new MessageQueue(new MemoryBackend());
 * const orders = mq.with(topics);
 * await orders.publish("order.created", { id: 1, at: new Date().toISOString() });
 * for await (const delivery of orders.receive({ group: "billing" })) {
 *   if (delivery.key === "order.created") console.log(delivery.payload.at.getTime());
 *   await delivery.ack();
 *   break;
 * }
 * ```
 */
export function defineTopics<const T extends TopicDefinitions>(definitions: T): Topics<T> {
  return new Topics(definitions);
}

function isSchema(definition: StandardSchema | TopicOptions): definition is StandardSchema {
  return "~standard" in definition;
}

function topicOf(key: string, definition: StandardSchema | TopicOptions): Topic {
  checkKey(key);
  const { schema, version = 1, upgrade = {}, description }: TopicOptions = isSchema(definition)
    ? { schema: definition }
    : definition;
  const standard = schema?.["~standard"];
  if (standard?.version !== 1 || typeof standard.validate !== "function") {
    throw new TypeError(`Cannot use the schema of topic "${key}": it does not follow Standard Schema 1`);
  }
  checkInteger(`version of topic "${key}"`, version, 1);
  for (const [from, step] of Object.entries(upgrade)) {
    checkInteger(`a version that topic "${key}" upgrades from`, Number(from), 1, version - 1);
    if (typeof step !== "function") {
      throw new TypeError(`Cannot use upgrade ${from} of topic "${key}": it is no function`);
    }
  }
  return { key, schema, version, upgrade, description };
}

async function validate(action: string, { key, schema }: Topic, payload: unknown): Promise<unknown> {
  const result = await schema["~standard"].validate(payload);
  if (result.issues !== undefined) throw new InvalidPayloadError(action, key, result.issues);
  return result.value;
}

async function upgraded(topic: Topic, payload: Payload, headers: Headers): Promise<unknown> {
  const { key, version, upgrade } = topic;
  const text = headers[versionHeader];
  const from = text === undefined ? 1 : Number(text);
  if (!Number.isSafeInteger(from) || from < 1) {
    throw invalid("Cannot take", key, "its version is no whole number from 1");
  }
  if (from > version) throw invalid("Cannot take", key, `its version ${from} is newer than ${version}`);
  let value: unknown = payload;
  for (let at = from; at < version; at++) {
    const step = upgrade[at];
    if (step === undefined) throw invalid("Cannot take", key, `nothing upgrades its version ${at}`);
    if (typeof value !== "object" || value === null) {
      throw invalid("Cannot take", key, `the upgrade to version ${at} made no object of it`);
    }
    try {
      value = await step(value);
    } catch (error) {
      throw invalid("Cannot take", key, `the upgrade from version ${at} failed: ${describeError(error)}`);
    }
  }
  return value;
}

function invalid(action: string, key: string, message: string): InvalidPayloadError {
  return new InvalidPayloadError(action, key, [{ message }]);
}
