/**
 * The way of a message from the broker to whoever takes it: through the middlewares, decoded, checked.
 *
 * @module
 */

import { bodyText, isOrdinary, type Packed, unpack } from "./carrier.ts";
import { type Codecs, isCompressed } from "./codecs.ts";
import { jsonCodec, type Payload } from "./codec.ts";
import type { HeldDelivery } from "./delivery.ts";
import { MessageQueueError } from "./errors.ts";
import { contentTypeHeader, type Headers } from "./message.ts";
import type { Chain, ProcessContext } from "./middleware.ts";

/** Looks at a payload before it is handed over, and may replace it; throws `invalid_payload` when it is refused. */
export type Check = (message: CheckedMessage) => void | Promise<void>;

/** What a {@linkcode Check} sees of a message. */
export interface CheckedMessage {
  /** Its key. */
  readonly key: string;
  /** Text beside the payload. */
  readonly headers: Headers;
  /** The payload, which may be replaced. */
  payload: Payload;
}

/** What a passage leads through. */
export interface PassageOptions {
  /** What decodes. */
  readonly codecs: Codecs;
  /** The middlewares, when there are any. */
  readonly chain: Chain | undefined;
  /** What looks at the payload. */
  readonly check?: Check | undefined;
  /** Which method takes the message in. */
  readonly via: ProcessContext["via"];
}

/**
 * Decodes a message that needs no more than that.
 *
 * @param delivery The message.
 * @param codecs What decodes.
 * @returns Whether it is decoded; false when it takes a while, and a {@linkcode Passage} must be run.
 * @throws {MessageQueueError} `undecodable`.
 */
export function decodeNow(delivery: HeldDelivery, codecs: Codecs): boolean {
  const claim: Packed = delivery.claim;
  if (isOrdinary(claim)) {
    delivery.payload = claim.payload ?? decodeOrdinary(claim, codecs);
    return true;
  }
  if (isCompressed(claim.headers[contentTypeHeader] ?? claim.contentType)) return false;
  const unpacked = unpack(claim);
  delivery.ownHeaders = unpacked.headers;
  delivery.payload = codecs.decode(unpacked) as Payload;
  return true;
}

function decodeOrdinary({ body }: Packed, codecs: Codecs): Payload {
  if (body.length > codecs.maxBodyBytes) return codecs.decode({ body }) as Payload;
  return jsonCodec.decode(bodyText(body));
}

/** One message's way in. */
export class Passage {
  /** Whether the message got to whoever takes it. */
  isThrough = false;
  readonly #delivery: HeldDelivery;
  readonly #options: PassageOptions;

  constructor(delivery: HeldDelivery, options: PassageOptions) {
    this.#delivery = delivery;
    this.#options = options;
  }

  /**
   * Leads the message through.
   *
   * @param take Takes it, and settles once it is handled.
   */
  async run(take: () => unknown): Promise<void> {
    const { chain } = this.#options;
    const delivery = this.#delivery;
    const { body, contentType = jsonCodec.contentType, headers } = unpack(delivery.claim);
    delivery.ownHeaders = headers;
    if (chain === undefined) return await this.#deliver(body, contentType, take);
    const { id, key, orderingKey, attempt, publishedAt, group } = delivery;
    const context: ProcessContext = {
      operation: "process",
      via: this.#options.via,
      id,
      key,
      orderingKey,
      body,
      contentType,
      headers: { ...headers },
      group,
      attempt,
      publishedAt,
      // Made only when asked for.
      get signal() {
        return delivery.signal;
      },
    };
    await chain(context, () => {
      delivery.ownHeaders = context.headers;
      return this.#deliver(context.body, context.contentType, take);
    });
  }

  async #deliver(body: Packed["body"], contentType: string, take: () => unknown): Promise<void> {
    const { codecs, check } = this.#options;
    this.#delivery.payload = await codecs.decode({ body, contentType });
    await check?.(this.#delivery);
    this.isThrough = true;
    await take();
  }

  /**
   * Why a message that did not get through never will.
   *
   * @param error What stopped it.
   * @returns The reason for the dead letter; `undefined` when another attempt may help, or it did get through.
   */
  hopeless(error: unknown): "undecodable" | "invalid" | undefined {
    if (this.isThrough || !(error instanceof MessageQueueError)) return undefined;
    if (error.code === "undecodable") return "undecodable";
    return error.code === "invalid_payload" ? "invalid" : undefined;
  }
}
