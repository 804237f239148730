/**
 * What happens between `publish` and the store when there is more to do than to send: compression, then the middlewares.
 *
 * @module
 */

import { bodyText, carry } from "./carrier.ts";
import { jsonCodec, type Payload } from "./codec.ts";
import type { Codecs } from "./codecs.ts";
import { MessageQueueError, PublishManyError } from "./errors.ts";
import { contentTypeHeader, copyHeaders, type Message } from "./message.ts";
import type { Chain, Middlewares, PublishContext } from "./middleware.ts";
import type { PublishLimits } from "./publisher.ts";
import { abortable } from "./signals.ts";

/** A message for a backend of three methods brings its payload as it is, so that it need not be read again. */
export type OutgoingPlain = Message & { readonly payload?: Payload };

/** Where an {@linkcode Outbox} gets what it needs. */
export interface OutboxOptions {
  readonly codecs: Codecs;
  /** What stands between. */
  readonly middlewares: Middlewares;
  /** Stores messages. */
  readonly publish: (messages: readonly Message[], limits: PublishLimits) => Promise<void>;
}

/** Prepares messages and stores them. */
export class Outbox {
  readonly #options: OutboxOptions;
  /** How many calls are on their way. */
  #pending = 0;
  #idle: (() => void) | undefined;
  /** Resolves when the last publish that had to compress was passed on: what is published after it must not overtake it. */
  #turn: Promise<void> | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /**
   * Compresses messages, leads them through the middlewares, and stores them.
   *
   * @param messages What to store; bodies written down.
   * @param limits When to give up.
   * @throws What the store and the middlewares throw.
   */
  publish(messages: readonly Message[], limits: PublishLimits): Promise<void> {
    const stored = this.#counted(messages, limits);
    return limits.signal === undefined ? stored : abortable(stored, limits.signal);
  }

  /** Resolves when nothing is on its way. */
  async idle(): Promise<void> {
    if (this.#pending > 0) await new Promise<void>((resolve) => this.#idle = resolve);
  }

  async #counted(messages: readonly Message[], limits: PublishLimits): Promise<void> {
    this.#pending++;
    try {
      await this.#publish(messages, limits);
    } finally {
      if (--this.#pending === 0) this.#idle?.();
    }
  }

  async #publish(messages: readonly Message[], limits: PublishLimits): Promise<void> {
    const { codecs } = this.#options;
    const previous = this.#turn;
    const compresses = messages.some(({ body }) => body.length > codecs.compressAboveBytes);
    if (previous === undefined && !compresses) return await this.#send(messages, limits);
    const compressed = Promise.all(messages.map(async (message) => ({
      ...message,
      ...await codecs.compress(message),
    })));
    const sent = this.#sendAfter(previous, compressed, limits);
    const turn = sent.then(() => {}, () => {});
    this.#turn = turn;
    void turn.then(() => {
      if (this.#turn === turn) this.#turn = undefined;
    });
    await (await sent).stored;
  }

  // The promise is wrapped: the next publish waits until this one is passed on, not until it is stored.
  async #sendAfter(
    previous: Promise<void> | undefined,
    compressed: Promise<readonly Message[]>,
    limits: PublishLimits,
  ): Promise<{ readonly stored: Promise<void> }> {
    const messages = await compressed;
    await previous;
    return { stored: this.#send(messages, limits) };
  }

  #send(messages: readonly Message[], limits: PublishLimits): Promise<void> {
    limits.signal?.throwIfAborted();
    const { chain } = this.#options.middlewares;
    if (chain === undefined) return this.#options.publish(messages, limits);
    const [message] = messages;
    if (message !== undefined && messages.length === 1) return this.#sendOne(message, chain, limits);
    return new ChainedPublish(messages, chain, this.#options).run(limits);
  }

  // The same as a batch of one, for less.
  async #sendOne(message: Message, chain: Chain, limits: PublishLimits): Promise<void> {
    const context = contextOf(message, 1);
    let stored: Promise<void> | undefined;
    try {
      await chain(context, () => stored = this.#store(message, context, limits));
    } catch (error) {
      await stored;
      throw error;
    }
    if (stored === undefined) throw notCalled();
    // Whatever the middlewares made of it: what was not stored does not look stored.
    await stored;
  }

  async #store(message: Message, context: PublishContext, limits: PublishLimits): Promise<void> {
    limits.signal?.throwIfAborted();
    await this.#options.publish([rewritten(message, context, this.#options.codecs)], limits);
  }
}

function notCalled(): TypeError {
  return new TypeError("Cannot publish: a middleware did not call next()");
}

/** One call's messages on their way through the middlewares: each takes its own, and all are stored together. */
class ChainedPublish {
  readonly #messages: readonly Message[];
  readonly #chain: Chain;
  readonly #options: OutboxOptions;
  readonly #ready = Promise.withResolvers<void>();
  readonly #stored = Promise.withResolvers<{ readonly error: unknown } | undefined>();
  readonly #outgoing: Message[];
  #underway: number;
  #failure: { readonly error: unknown } | undefined;

  constructor(messages: readonly Message[], chain: Chain, options: OutboxOptions) {
    this.#messages = messages;
    this.#outgoing = [...messages];
    this.#chain = chain;
    this.#options = options;
    this.#underway = messages.length;
  }

  async run(limits: PublishLimits): Promise<void> {
    const runs = Promise.allSettled(this.#messages.map((message, index) => this.#lead(message, index)));
    await this.#ready.promise;
    let failed = this.#failure;
    if (failed === undefined) {
      try {
        limits.signal?.throwIfAborted();
        await this.#options.publish(this.#outgoing, limits);
      } catch (error) {
        failed = { error };
      }
    }
    this.#stored.resolve(failed);
    const ends = await runs;
    // Whatever middlewares make of it: what was not stored does not look stored.
    if (failed !== undefined) throw failed.error;
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  async #lead(message: Message, index: number): Promise<void> {
    const context = contextOf(message, this.#messages.length);
    let arrived = false;
    let refusal: unknown = notCalled();
    try {
      await this.#chain(context, () => {
        try {
          this.#outgoing[index] = rewritten(message, context, this.#options.codecs);
        } catch (error) {
          refusal = error;
          throw error;
        }
        arrived = true;
        this.#arrive();
        return this.#outcome(index);
      });
      // Also where a middleware has swallowed why.
      if (!arrived) throw refusal;
    } catch (error) {
      if (this.#underway > 0) this.#failure ??= { error };
      if (!arrived) this.#arrive();
      throw error;
    }
  }

  #arrive(): void {
    this.#underway--;
    if (this.#underway === 0) this.#ready.resolve();
  }

  async #outcome(index: number): Promise<void> {
    const failed = await this.#stored.promise;
    if (failed === undefined) return;
    const { error } = failed;
    if (error === this.#failure?.error) {
      throw new MessageQueueError(
        "aborted_publish",
        "Nothing was published: a middleware failed for one of the batch",
        {
          cause: error,
        },
      );
    }
    if (!(error instanceof PublishManyError)) throw error;
    const own = error.failures.find((each) => each.index === index);
    if (own !== undefined) throw own.error;
  }
}

/** The message as the middlewares left it. */
function rewritten(message: OutgoingPlain, { body, contentType, headers }: PublishContext, codecs: Codecs): Message {
  codecs.checkLength(body);
  const { contentType: _, payload, ...rest } = message;
  const isJson = contentType === jsonCodec.contentType && typeof body === "string";
  const outgoing: OutgoingPlain = {
    ...rest,
    body,
    ...(!isJson && { contentType }),
    ...(payload !== undefined && body === message.body && { payload }),
    headers: copyHeaders(headers),
  };
  return outgoing;
}

function contextOf(message: Message, batchSize: number): PublishContext {
  const { id, key, orderingKey, body, contentType = jsonCodec.contentType, headers } = message;
  return { operation: "publish", id, key, orderingKey, body, contentType, headers: { ...headers }, batchSize };
}

/**
 * Makes messages fit for a backend that keeps JSON text and nothing else.
 *
 * @param messages Any messages.
 * @returns The same, or such whose bodies are in carriers.
 */
export function allForText(messages: readonly Message[]): readonly Message[] {
  for (const { contentType } of messages) if (contentType !== undefined) return messages.map(forText);
  return messages;
}

function forText(message: OutgoingPlain): Message {
  const { contentType, payload: _, ...rest } = message;
  if (contentType === undefined) return message;
  // Bytes of JSON are JSON.
  if (contentType === jsonCodec.contentType) return { ...rest, body: bodyText(message.body) };
  return {
    ...rest,
    body: JSON.stringify(carry(message.body)),
    headers: { ...message.headers, [contentTypeHeader]: contentType },
  };
}
