import { setTimeout as pause } from "node:timers/promises";
import type { ConsumeOptions, Env, MessageQueueBackend, Payload } from "../../mod.ts";

// For each exchange what waits there for each group; and as the group "" all that was published.
const stores = new Map<string, Map<string, Payload[]>>();

/** A whole plugin: three methods, 25 lines of code. */
export default class LineBackend implements MessageQueueBackend {
  readonly capabilities = { groups: true };
  readonly #groups: Map<string, Payload[]>;
  constructor(exchange: string) {
    stores.set(exchange, this.#groups = stores.get(exchange) ?? new Map([["", []]]));
  }
  static fromEnv = (env: Env) => new LineBackend(env.get("MESSAGE_QUEUE_EXCHANGE") ?? "application_events");
  async publish(_key: string, payload: Payload): Promise<void> {
    for (const waiting of this.#groups.values()) waiting.push(payload);
  }
  async *consume({ group = "default", signal }: ConsumeOptions = {}): AsyncGenerator<Payload> {
    const waiting = this.#groups.get(group) ?? [...this.#groups.get("") ?? []];
    this.#groups.set(group, waiting);
    while (!signal?.aborted) {
      let inHand = waiting.shift();
      try {
        // Either way `undefined`: nothing is in hand once the next is asked for.
        inHand = inHand === undefined ? await pause(5) : yield inHand;
      } finally {
        if (inHand !== undefined) waiting.unshift(inHand);
      }
    }
  }
}
