/**
 * How a queue stands with its broker, as those tell who talk to it.
 *
 * @module
 */

import { describeError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { QueueState, StateChange } from "./options.ts";

/** Keeps the state of one queue. */
export class StateKeeper {
  readonly #logger: Logger;
  readonly #onChange: ((change: StateChange) => void) | undefined;
  readonly #troubles = new Set<unknown>();
  #state: QueueState = "open";

  constructor(logger: Logger, onChange: ((change: StateChange) => void) | undefined) {
    this.#logger = logger;
    this.#onChange = onChange;
  }

  /** How it stands. */
  get state(): QueueState {
    return this.#state;
  }

  /** Notes that somebody found the broker away, with the error, or back, without. */
  report(who: unknown, error?: unknown): void {
    if (error === undefined) this.#troubles.delete(who);
    else this.#troubles.add(who);
    if (error !== undefined) this.#logger.warn(`The broker is away, trying again: ${describeError(error)}`);
    if (this.#state === "closed") return;
    this.#set(this.#troubles.size === 0 ? "open" : "reconnecting", error);
  }

  /** Notes that the queue is closed, which it stays. */
  close(): void {
    this.#set("closed");
  }

  #set(state: QueueState, error?: unknown): void {
    if (state === this.#state) return;
    this.#state = state;
    try {
      this.#onChange?.({ state, ...(error !== undefined && { error }) });
    } catch (hookError) {
      this.#logger.error(`The onStateChange hook failed: ${describeError(hookError)}`);
    }
  }
}
