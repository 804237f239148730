import { matches } from "./topics.ts";

/** What waits in one group, as text, so that nobody shares an object. */
export class FeedGroup {
  readonly keys: string;
  readonly #waiting: string[] = [];
  readonly #wakes = new Set<() => void>();

  constructor(keys: string) {
    this.keys = keys;
  }

  /** Takes a message in, if its key matches. */
  offer(key: string, text: string): void {
    if (matches(this.keys, key)) this.#put(text, "push");
  }

  #put(text: string, where: "push" | "unshift"): void {
    this.#waiting[where](text);
    for (const wake of this.#wakes) wake();
    this.#wakes.clear();
  }

  /** Yields what waits; asking for the next one acks the last, and leaving puts it back. */
  async *consume(signal: AbortSignal | undefined): AsyncGenerator<object> {
    while (!signal?.aborted) {
      const text = this.#waiting.shift();
      if (text === undefined) {
        await this.#change(signal);
        continue;
      }
      let acked = false;
      try {
        yield JSON.parse(text);
        acked = true;
      } finally {
        if (!acked) this.#put(text, "unshift");
      }
    }
  }

  #change(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      this.#wakes.add(wake);
      signal?.addEventListener("abort", wake);
    });
  }
}
