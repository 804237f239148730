/** As `memory_visitor.ts`, but broken on purpose: a timer is left when the backend has been disposed. */

import type { MessageQueueBackend } from "../../mod.ts";
import { open as openMemory } from "./memory_visitor.ts";

export function open(exchange: string): Promise<MessageQueueBackend> {
  setInterval(() => {}, 1_000);
  return openMemory(exchange);
}
