/**
 * Middleware: functions around publishing and handling, for tracing, metrics, encryption, bodies kept elsewhere.
 *
 * @module
 */

import type { Body } from "./codec.ts";

/** What a middleware sees of a message in either direction. */
export interface MiddlewareMessage {
  /** The message's id. */
  readonly id: string;
  /** Its key; empty when the backend does not keep keys. */
  readonly key: string;
  /** The key by which it is ordered. */
  readonly orderingKey: string | undefined;
  /** The payload written down: before `next()` of a publish, and until `next()` of a process decodes it. May be replaced. */
  body: Body;
  /** What the body is, such as `application/json`. To be replaced with the body. */
  contentType: string;
  /** Text beside the payload. An own copy: may be changed. */
  headers: Record<string, string>;
}

/** A message on its way out. */
export interface PublishContext extends MiddlewareMessage {
  /** Which way it goes. */
  readonly operation: "publish";
  /** How many messages the call publishes together. */
  readonly batchSize: number;
}

/** A message on its way in. */
export interface ProcessContext extends MiddlewareMessage {
  /** Which way it goes. */
  readonly operation: "process";
  /** Which method takes it in. */
  readonly via: "subscribe" | "receive" | "consume";
  /** The group. */
  readonly group: string;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  /** When it was published, by the publisher's clock. */
  readonly publishedAt: Date;
  /** Aborted when the delivery ends. */
  readonly signal: AbortSignal;
}

/** What a middleware is given. */
export type MiddlewareContext = PublishContext | ProcessContext;

/**
 * A function around publishing and handling. It is called once for each message and each way, and calls `next()` once, which does the rest:
 *
 * - `publish`: the middlewares added later, then the store. `next()` resolves once the message is stored, and rejects when it was not.
 * - `process`: the middlewares added earlier, then decoding, then whoever takes the message. `next()` resolves once it was handled (the handler
 *   returned, the loop asked for the next one, the delivery was acked), and rejects when it was not.
 *
 * It awaits or returns what `next()` gives, as the message is done with when the middleware returns. On the way out it may change the outcome in
 * one direction only: what was not stored never looks stored, and one that does not call `next()` fails the publish. On the way in, one that does
 * not call `next()`, or swallows its error, has handled the message itself, which is then acked; what it throws is a failed attempt, or, before
 * `next()` and with the code `undecodable` or `invalid_payload`, a dead letter.
 *
 * The one that was added first is next to the application, and the one added last next to the broker, both ways.
 */
export type Middleware = (context: MiddlewareContext, next: () => Promise<void>) => void | Promise<void>;

/** Middlewares in one. */
export type Chain = (context: MiddlewareContext, last: () => Promise<void>) => Promise<void>;

/** The middlewares of a queue. */
export class Middlewares {
  readonly #list: Middleware[] = [];
  /** All of them in one; `undefined` while there are none, which costs whoever looks no more than the look. */
  chain: Chain | undefined = undefined;

  /**
   * Adds one.
   *
   * @param middleware The function.
   * @throws {TypeError} When it is no function.
   */
  add(middleware: Middleware): void {
    if (typeof middleware !== "function") {
      throw new TypeError(`Cannot use ${typeof middleware}: a middleware is a function`);
    }
    this.#list.push(middleware);
    this.chain = compose(this.#list);
  }
}

/**
 * Makes one of many.
 *
 * @param middlewares In the order in which they were added.
 * @returns Runs them around the last step.
 */
function compose(middlewares: readonly Middleware[]): Chain {
  const outward = [...middlewares];
  const inward = outward.toReversed();
  return (context, last) => run(context.operation === "publish" ? outward : inward, 0, context, last);
}

async function run(
  chain: readonly Middleware[],
  at: number,
  context: MiddlewareContext,
  last: () => Promise<void>,
): Promise<void> {
  const middleware = chain[at];
  if (middleware === undefined) return await last();
  let rest: Promise<void> | undefined;
  await middleware(context, () => {
    if (rest !== undefined) {
      return Promise.reject(new TypeError("A middleware called next() twice: it may call it once"));
    }
    rest = run(chain, at + 1, context, last);
    // One that drops the promise must not end the process by an unhandled rejection.
    rest.catch(() => {});
    return rest;
  });
}
