/**
 * A queue seen through topics: typed by key, and checked at both ends.
 *
 * @module
 */

import type { Payload } from "./codec.ts";
import type { Delivery } from "./delivery.ts";
import { keyHeader, type PublishOptions } from "./message.ts";
import type { OutgoingMessage, ReceiveOptions, SubscribeOptions } from "./options.ts";
import type { Check } from "./passage.ts";
import type { Handler, Subscription } from "./runner.ts";
import {
  type TopicDefinitions,
  type TopicInput,
  type TopicKey,
  type TopicOutput,
  type Topics,
  versionHeader,
} from "./topics.ts";

/** A message of a topic. */
export type TopicMessage<T extends TopicDefinitions> = {
  readonly [K in TopicKey<T>]: Omit<OutgoingMessage, "key" | "payload"> & {
    /** The topic. */
    readonly key: K;
    /** What its schema takes. */
    readonly payload: TopicInput<T, K>;
  };
}[TopicKey<T>];

/** A delivery of a topic; of several, a union that `key` tells apart. */
export type TopicDelivery<T extends TopicDefinitions, K extends TopicKey<T> = TopicKey<T>> = {
  readonly [P in K]: Delivery<TopicOutput<T, P>> & {
    /** The topic. */
    readonly key: P;
  };
}[K];

/** The topics that a filter lets through: the one that it names, else any. */
export type TopicFilterOf<T extends TopicDefinitions, F extends string> = [F] extends [never] ? TopicKey<T>
  : F extends TopicKey<T> ? F
  : TopicKey<T>;

/** A filter, typed by what it lets through. */
export interface TopicFilterOption<F extends string> {
  /** Which keys the group gets: a topic, or a pattern. What comes under another key than those of the topics is a dead letter, reason `invalid`. */
  readonly keys?: F;
}

/** What of a queue is needed. */
export interface TopicSource {
  /** Whether the backend keeps keys. */
  readonly keepsKeys: boolean;
  /** Stores one message. */
  publish(key: string, payload: Payload, options: PublishOptions): Promise<string>;
  /** Stores several. */
  publishMany(
    messages: Iterable<OutgoingMessage>,
    options: Pick<PublishOptions, "signal" | "publishTimeoutMs">,
  ): Promise<string[]>;
  /** Yields payloads that the check lets through. */
  consume(options: ReceiveOptions, check: Check): AsyncIterableIterator<Payload, undefined> & AsyncDisposable;
  /** Yields deliveries that the check lets through. */
  receive(options: ReceiveOptions, check: Check): AsyncIterableIterator<Delivery, undefined> & AsyncDisposable;
  /** Keeps a handler busy with what the check lets through. */
  subscribe(handler: Handler, options: SubscribeOptions, check: Check): Promise<Subscription>;
}

/** A queue seen through topics; `mq.with(topics)` makes it. It lives as long as its queue. */
export class TopicQueue<T extends TopicDefinitions> {
  /** The topics. */
  readonly topics: Topics<T>;
  readonly #source: TopicSource;
  readonly #check: Check;

  /**
   * Made by the queue.
   *
   * @param topics The topics.
   * @param source The queue.
   */
  constructor(topics: Topics<T>, source: TopicSource) {
    this.topics = topics;
    this.#source = source;
    this.#check = async (delivery) => {
      delivery.payload = await topics.incoming(delivery.key, delivery.payload, delivery.headers);
    };
  }

  /**
   * Publishes what the topic's schema accepts, as it was given; the schema's changes are made where it arrives.
   *
   * @param key The topic.
   * @param payload What its schema takes.
   * @param options As for the queue's `publish`.
   * @returns The message's id.
   * @throws {InvalidPayloadError} With the issues, when the schema does not accept it.
   * @throws As the queue's `publish`.
   */
  async publish<K extends TopicKey<T>>(
    key: K,
    payload: TopicInput<T, K>,
    options: PublishOptions = {},
  ): Promise<string> {
    const headers = await this.#headers(key, payload, options);
    return await this.#source.publish(key, payload, { ...options, headers });
  }

  /**
   * Publishes several messages, when the schemas accept all of them.
   *
   * @param messages What to publish, in order.
   * @param options When to give up.
   * @returns The messages' ids, in order.
   * @throws {InvalidPayloadError} With the issues of the first that its schema does not accept; nothing is published then.
   * @throws As the queue's `publishMany`.
   */
  async publishMany(
    messages: Iterable<TopicMessage<T>>,
    options: Pick<PublishOptions, "signal" | "publishTimeoutMs"> = {},
  ): Promise<string[]> {
    const checked: OutgoingMessage[] = [];
    for (const each of messages) {
      const message: OutgoingMessage = each;
      checked.push({ ...message, headers: await this.#headers(message.key, message.payload, message) });
    }
    return await this.#source.publishMany(checked, options);
  }

  /**
   * Yields payloads as the schemas make them, typed by `keys` where it names a topic. What a schema does not accept becomes a dead letter, reason
   * `invalid`, with the issues.
   *
   * @param options As for the queue's `consume`.
   * @returns As the queue's `consume`.
   */
  consume<const F extends string = never>(
    options: ReceiveOptions & TopicFilterOption<F> = {},
  ): AsyncIterableIterator<TopicOutput<T, TopicFilterOf<T, F>>, undefined> & AsyncDisposable {
    return this.#source.consume(options, this.#check) as unknown as
      & AsyncIterableIterator<TopicOutput<T, TopicFilterOf<T, F>>, undefined>
      & AsyncDisposable;
  }

  /**
   * Yields deliveries, a union that `key` tells apart. What a schema does not accept becomes a dead letter, reason `invalid`, with the issues.
   *
   * @param options As for the queue's `receive`.
   * @returns As the queue's `receive`.
   */
  receive<const F extends string = never>(
    options: ReceiveOptions & TopicFilterOption<F> = {},
  ): AsyncIterableIterator<TopicDelivery<T, TopicFilterOf<T, F>>, undefined> & AsyncDisposable {
    return this.#source.receive(options, this.#check) as unknown as
      & AsyncIterableIterator<TopicDelivery<T, TopicFilterOf<T, F>>, undefined>
      & AsyncDisposable;
  }

  /**
   * Keeps a handler busy with deliveries, a union that `key` tells apart. What a schema does not accept becomes a dead letter, reason `invalid`,
   * with the issues.
   *
   * @param handler Handles one delivery.
   * @param options As for the queue's `subscribe`.
   * @returns As the queue's `subscribe`.
   */
  async subscribe<const F extends string = never>(
    handler: (delivery: TopicDelivery<T, TopicFilterOf<T, F>>) => unknown,
    options: SubscribeOptions & TopicFilterOption<F> = {},
  ): Promise<Subscription> {
    return await this.#source.subscribe(handler as unknown as Handler, options, this.#check);
  }

  async #headers(
    key: string,
    payload: unknown,
    { headers = {} }: Pick<PublishOptions, "headers">,
  ): Promise<Record<string, string>> {
    if (Object.hasOwn(headers, versionHeader)) {
      throw new TypeError(`Cannot use the header ${versionHeader}: the topic's version goes there`);
    }
    const own = await this.topics.outgoing(key, payload);
    return { ...headers, ...own, ...(!this.#source.keepsKeys && { [keyHeader]: key }) };
  }
}
