/** What a worker's process of the kit loads for memory: a store of its own, so it can only visit itself. */

import { MemoryBackend } from "../../backends/memory.ts";
import type { MessageQueueBackend } from "../../mod.ts";

export function open(exchange: string): Promise<MessageQueueBackend> {
  return Promise.resolve(new MemoryBackend({ store: exchange }));
}
