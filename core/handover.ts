/**
 * Handing messages over to a loop: at once where nothing stands between, else through the middlewares.
 *
 * @module
 */

import type { Backoff } from "./backoff.ts";
import type { Settlement } from "./backend.ts";
import type { Codecs } from "./codecs.ts";
import { type HeldDelivery, settledReason } from "./delivery.ts";
import { describeError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { Middlewares, ProcessContext } from "./middleware.ts";
import { type Check, decodeNow, Passage } from "./passage.ts";
import { errorWithIssues } from "./topics.ts";

/** What a handover needs of the queue. */
export interface HandoverSource {
  /** What decodes. */
  readonly codecs: Codecs;
  /** What stands between. */
  readonly middlewares: Middlewares;
  /** The waits between tries. */
  readonly backoff: Backoff;
  /** Where to say what went wrong. */
  readonly logger: Logger;
}

/** How messages are handed over. */
export interface HandoverOptions {
  /** Which method takes messages in. For `subscribe` it is the runner that leads them through the middlewares, around its handler. */
  readonly via: ProcessContext["via"];
  /** Looks at payloads before they are handed over. */
  readonly check?: Check | undefined;
}

/** Who holds what is handed over. */
export interface HandoverHolder {
  readonly group: string;
  readonly canDelay: boolean;
  /** Whether nothing more is handed over. */
  readonly stopped: boolean;
  /** Settles without anybody waiting for the outcome. */
  settleQuietly(delivery: HeldDelivery, settlement: Settlement): void;
}

/** Hands over what one intake holds. */
export class Handover {
  /** What is on its way through the middlewares. */
  readonly passing: Set<HeldDelivery> = new Set();
  readonly #holder: HandoverHolder;
  readonly #source: HandoverSource;
  readonly #options: HandoverOptions;

  constructor(holder: HandoverHolder, source: HandoverSource, options: HandoverOptions) {
    this.#holder = holder;
    this.#source = source;
    this.#options = options;
  }

  /**
   * Takes the first that needs no wait from what lies ready.
   *
   * @param buffer What was pulled, last one first. What is undecodable leaves it for the dead letters.
   * @returns The delivery; `undefined` when there is none, or the first must `pass`.
   */
  take(buffer: HeldDelivery[]): HeldDelivery | undefined {
    for (let delivery = buffer.pop(); delivery !== undefined; delivery = buffer.pop()) {
      if (delivery.lost) continue;
      if (this.#source.middlewares.chain === undefined && this.#options.check === undefined) {
        try {
          if (decodeNow(delivery, this.#source.codecs)) return delivery;
        } catch (error) {
          this.#bury(delivery, "undecodable", error);
          continue;
        }
      }
      if (this.#options.via === "subscribe") return delivery;
      buffer.push(delivery);
      return undefined;
    }
    return undefined;
  }

  /** A message's way to its taker. */
  passage(delivery: HeldDelivery): Passage {
    const { codecs, middlewares: { chain } } = this.#source;
    return new Passage(delivery, { codecs, chain, ...this.#options });
  }

  /**
   * Leads a delivery through the middlewares. Never rejects.
   *
   * @param delivery What to hand over.
   * @returns Whether it can be; else it is settled.
   */
  pass(delivery: HeldDelivery): Promise<boolean> {
    this.passing.add(delivery);
    const passage = this.passage(delivery);
    return new Promise<boolean>((resolve) => {
      const end = (handed: boolean) => {
        this.passing.delete(delivery);
        resolve(handed);
      };
      passage.run(() => {
        const given = this.#giveUp(delivery);
        end(!given);
        if (given) throw settledReason;
        return this.#source.middlewares.chain && handled(delivery);
      }).then(
        () => {
          // A middleware that does not call `next()` has handled the message itself.
          if (!passage.isThrough && !this.#giveUp(delivery)) {
            this.#holder.settleQuietly(delivery, { claim: delivery.claim, verb: "ack" });
          }
        },
        (error) => this.#failed(delivery, passage, error),
      ).finally(() => end(false));
    });
  }

  /** Whether nobody can have it any more, as the intake was stopped meanwhile, or the lease lost. */
  #giveUp(delivery: HeldDelivery): boolean {
    if (delivery.isSettled || delivery.lost) return true;
    const { stopped } = this.#holder;
    if (stopped) this.#holder.settleQuietly(delivery, { claim: delivery.claim, verb: "release" });
    return stopped;
  }

  #failed(delivery: HeldDelivery, passage: Passage, error: unknown): void {
    const { logger, backoff } = this.#source;
    const { group, canDelay } = this.#holder;
    const text = describeError(error);
    if (passage.isThrough) {
      // Whoever had it has settled it, and knows why; what a middleware says afterwards changes nothing.
      logger.debug(`After message ${delivery.id} of group "${group}": ${text}`);
      return;
    }
    if (this.#giveUp(delivery)) return;
    const reason = passage.hopeless(error);
    if (reason !== undefined) return this.#bury(delivery, reason, error);
    logger.error(
      `Message ${delivery.id} of group "${group}" failed in a middleware, attempt ${delivery.attempt}: ${text}`,
    );
    const delayMs = canDelay ? backoff(delivery.attempt) : 0;
    this.#holder.settleQuietly(delivery, { claim: delivery.claim, verb: "nack", delayMs, error: text });
  }

  #bury(delivery: HeldDelivery, reason: string, error: unknown): void {
    const { group } = this.#holder;
    this.#source.logger.error(`Message ${delivery.id} of group "${group}" is ${reason}: ${describeError(error)}`);
    const kept = errorWithIssues(error);
    this.#holder.settleQuietly(delivery, { claim: delivery.claim, verb: "reject", reason, error: kept });
  }
}

/** Settles as the delivery does: resolves when it is acked. */
function handled(delivery: HeldDelivery): Promise<void> {
  return new Promise((resolve, reject) => {
    delivery.whenEnded = (reason, settlement) => {
      if (reason !== settledReason) return reject(reason);
      if (settlement?.verb === "ack") return resolve();
      reject(new DOMException(whyNot(settlement), "AbortError"));
    };
  });
}

function whyNot(settlement: Settlement | undefined): string {
  if (settlement?.verb === "reject") return settlement.error ?? settlement.reason;
  return settlement?.verb === "nack" && settlement.error !== undefined ? settlement.error : "It was given back";
}
