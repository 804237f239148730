import { MemoryBackend } from "../../backends/memory.ts";
import { testBackend } from "../../testing/mod.ts";

testBackend({
  name: "memory",
  open: (exchange) => Promise.resolve(new MemoryBackend({ store: exchange })),
  openBounded: (exchange, settings) => Promise.resolve(new MemoryBackend({ store: exchange, ...settings })),
  capabilities: {
    groups: true,
    keys: true,
    leases: true,
    delay: true,
    ordering: true,
    dedup: true,
    deadLetters: true,
    retention: true,
    expiry: true,
    atomicBatch: true,
    stats: true,
    codecs: true,
  },
});
