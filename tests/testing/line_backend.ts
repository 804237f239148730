// A whole plugin in 25 lines: for each exchange what was published, and for each group what waits there.
import type { ConsumeOptions, MessageQueueBackend, Payload } from "../../mod.ts";

const stores = new Map<string, { readonly all: Payload[]; readonly groups: Map<string, Payload[]> }>();

export default class LineBackend implements MessageQueueBackend {
  readonly capabilities = { groups: true };
  readonly #store;
  constructor(exchange: string) {
    this.#store = stores.get(exchange) ?? { all: [], groups: new Map<string, Payload[]>() };
    stores.set(exchange, this.#store);
  }
  static fromEnv = () => new LineBackend("application_events");
  async publish(_key: string, payload: Payload): Promise<void> {
    for (const waiting of [this.#store.all, ...this.#store.groups.values()]) waiting.push(payload);
  }
  async *consume({ group = "default", signal }: ConsumeOptions = {}): AsyncGenerator<Payload> {
    const waiting = this.#store.groups.get(group) ?? [...this.#store.all];
    this.#store.groups.set(group, waiting);
    while (!signal?.aborted) {
      let inHand = waiting.shift();
      try {
        if (inHand === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
        else yield inHand;
        inHand = undefined;
      } finally {
        if (inHand !== undefined) waiting.unshift(inHand);
      }
    }
  }
}
