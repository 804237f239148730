/**
 * An AsyncAPI 3 document of topics, for people and programs that are to use them (https://www.asyncapi.com/docs/reference/specification/v3.0.0).
 *
 * @example
 * ```ts
 * import { defineTopics } from "@abe/mq";
 * import { toAsyncApi } from "@abe/mq/asyncapi";
 * import { z } from "zod";
 *
 * const topics = defineTopics({ "order.created": z.object({ id: z.number() }) });
 * const document = toAsyncApi(topics, { title: "Shop", version: "1.0.0" });
 * console.log(JSON.stringify(document, undefined, 2));
 * ```
 *
 * @module
 */

import type { StandardSchema } from "./standard_schema.ts";
import { type Topic, type TopicDefinitions, type TopicKey, type Topics, versionHeader } from "./topics.ts";

/** What a document says besides the topics. */
export interface AsyncApiOptions<K extends string = string> {
  /** The application's name. */
  readonly title: string;
  /** The version of the application's interface. */
  readonly version: string;
  /** What the application does. */
  readonly description?: string;
  /**
   * Which topics the application publishes.
   *
   * @default {all of them}
   */
  readonly sends?: readonly K[];
  /**
   * Which topics the application consumes.
   *
   * @default {all of them}
   */
  readonly receives?: readonly K[];
  /**
   * What the payloads are written as.
   *
   * @default {"application/json"}
   */
  readonly contentType?: string;
  /**
   * Writes a schema down as JSON Schema draft 7, for libraries that do not do so themselves (by `~standard.jsonSchema`).
   *
   * @param schema The topic's schema.
   * @param key The topic.
   * @returns JSON Schema of what the schema takes.
   */
  readonly toJsonSchema?: (schema: StandardSchema, key: string) => Record<string, unknown>;
}

/** A document: an object to be written as JSON or YAML. */
export type AsyncApiDocument = Record<string, unknown>;

/**
 * Makes an AsyncAPI 3 document of topics.
 *
 * @param topics The topics.
 * @param options Title, version, and which way the topics go.
 * @returns The document.
 * @throws {TypeError} When a schema cannot be written down, or a topic is named that there is not.
 */
export function toAsyncApi<T extends TopicDefinitions>(
  topics: Topics<T>,
  options: AsyncApiOptions<TopicKey<T>>,
): AsyncApiDocument {
  const { title, version, description, contentType = "application/json" } = options;
  const names = namesOf(topics);
  const all = [...names.keys()];
  const channels: Record<string, unknown> = {};
  const messages: Record<string, unknown> = {};
  for (const topic of topics) {
    const name = names.get(topic.key) ?? topic.key;
    channels[name] = { address: topic.key, messages: { [name]: { $ref: `#/components/messages/${name}` } } };
    messages[name] = message(topic, options);
  }
  const operations: Record<string, unknown> = {};
  for (const [action, keys] of [["send", options.sends ?? all], ["receive", options.receives ?? all]] as const) {
    for (const key of keys) {
      const name = names.get(key);
      if (name === undefined) throw new TypeError(`Cannot describe "${key}": there is no topic of this key`);
      operations[`${action}.${name}`] = {
        action,
        channel: { $ref: `#/channels/${name}` },
        messages: [{ $ref: `#/channels/${name}/messages/${name}` }],
      };
    }
  }
  return {
    asyncapi: "3.0.0",
    info: { title, version, ...(description !== undefined && { description }) },
    defaultContentType: contentType,
    channels,
    operations,
    components: { messages },
  };
}

function message(topic: Topic, { toJsonSchema }: AsyncApiOptions): Record<string, unknown> {
  const { key, version, description } = topic;
  return {
    name: key,
    ...(description !== undefined && { summary: description }),
    headers: {
      type: "object",
      properties: {
        [versionHeader]: { type: "string", const: String(version), description: "Version of the payload" },
      },
    },
    payload: jsonSchema(topic, toJsonSchema),
  };
}

function jsonSchema({ key, schema }: Topic, toJsonSchema: AsyncApiOptions["toJsonSchema"]): Record<string, unknown> {
  if (toJsonSchema !== undefined) return toJsonSchema(schema, key);
  const { vendor, jsonSchema: writer } = schema["~standard"];
  if (writer !== undefined) return writer.input({ target: "draft-07" });
  throw new TypeError(
    `Cannot describe "${key}": its schema (of ${vendor}) does not write itself down; give the option toJsonSchema`,
  );
}

// Names are limited to what every tool takes; keys are not.
function namesOf(topics: Iterable<Topic>): Map<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const { key } of topics) {
    const base = key.replaceAll(/[^\w.-]/g, "_");
    let name = base;
    for (let count = 2; taken.has(name); count++) name = `${base}_${count}`;
    taken.add(name);
    names.set(key, name);
  }
  return names;
}
