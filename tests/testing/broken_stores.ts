/**
 * Backends that are broken on purpose in their groups, dead letters and declarations.
 *
 * @module
 */

import type { MemoryBackend } from "../../backends/memory.ts";
import type { MessageQueueBackend } from "../../mod.ts";
import { changed } from "../../testing/faults.ts";
import { type Broken, settling } from "./broken_drivers.ts";

/** Broken in their groups. */
export const brokenGroups: readonly Broken[] = [
  {
    fault: "ignores the group",
    caughtBy: "every group gets every message, each of them once",
    breaks: (backend) => changed(backend, { receive: (options) => backend.receive({ ...options, group: "default" }) }),
  },
  {
    fault: "ignores the filter",
    caughtBy: "filters match as AMQP topic patterns do",
    breaks: (backend) =>
      groups(backend, { create: (name, { keys: _, ...options } = {}) => backend.groups.create(name, options) }),
  },
  {
    fault: "takes a word for any number of words",
    caughtBy: "filters match as AMQP topic patterns do",
    breaks: (backend) =>
      groups(backend, {
        create: (name, { keys = "#", ...options } = {}) =>
          backend.groups.create(name, { ...options, keys: keys.replaceAll("*", "#") }),
      }),
  },
  {
    fault: "starts every group at the oldest message",
    caughtBy: "a new group gets only new messages when it starts at the latest",
    breaks: (backend) =>
      groups(backend, { create: (name, { from: _, ...options } = {}) => backend.groups.create(name, options) }),
  },
  {
    fault: "ignores maxAttempts",
    caughtBy: "after its last attempt a message is a dead letter with its last error",
    breaks: (backend) =>
      groups(backend, { create: (name, { maxAttempts: _, ...options } = {}) => backend.groups.create(name, options) }),
  },
  {
    fault: "ignores a changed filter",
    caughtBy: "a changed filter holds for what is claimed from then on",
    breaks: (backend) => groups(backend, { update: () => Promise.resolve() }),
  },
  {
    fault: "overwrites a group's filter by that of a consumer",
    caughtBy: "another filter than the stored one is refused, and none means the stored one",
    breaks: (backend) =>
      changed(backend, {
        async receive({ keys, ...options }) {
          const receiver = await backend.receive(options);
          if (keys !== undefined) await backend.groups.update(options.group, { keys });
          return receiver;
        },
      }),
  },
  {
    fault: "never lets a group expire",
    caughtBy: "a group with expiresMs vanishes without consumers and stays with one",
    breaks: (backend) =>
      groups(backend, { create: (name, { expiresMs: _, ...options } = {}) => backend.groups.create(name, options) }),
  },
  {
    fault: "keeps groups when they are removed",
    caughtBy: "groups are made, listed, changed and removed",
    breaks: (backend) => groups(backend, { delete: () => Promise.resolve() }),
  },
];

/** Broken in their dead letters. */
export const brokenDeadLetters: readonly Broken[] = [
  {
    fault: "loses the error of a dead letter",
    caughtBy: "a handler that fails for good leaves a dead letter with its error",
    breaks: settling((settlement) => {
      if (settlement.verb !== "nack" && settlement.verb !== "reject") return settlement;
      const { error: _, ...rest } = settlement;
      return rest;
    }),
  },
  {
    fault: "brings what is rejected again",
    caughtBy: "a rejected message is a dead letter with all that is known about it",
    breaks: settling((settlement) =>
      settlement.verb === "reject" ? { claim: settlement.claim, verb: "nack", delayMs: 0 } : settlement
    ),
  },
  {
    fault: "throws undecodable messages away",
    caughtBy: "undecodable bytes are dead letters and do not stall their neighbours",
    breaks: settling((settlement) =>
      settlement.verb === "reject" && settlement.reason === "undecodable"
        ? { claim: settlement.claim, verb: "ack" }
        : settlement
    ),
  },
  {
    fault: "says that it replayed what it had replayed before",
    caughtBy: "a replay goes to that group alone, with attempts from 1, and only once",
    breaks: (backend) =>
      deadLetters(backend, {
        async replay(group, ids) {
          const count = await backend.deadLetters.replay(group, ids);
          return ids?.length ?? count;
        },
      }),
  },
  {
    fault: "replays to every group",
    caughtBy: "a replay goes to that group alone, with attempts from 1, and only once",
    breaks: (backend) =>
      deadLetters(backend, {
        async replay(group, ids) {
          const page = await backend.deadLetters.list(group, { limit: 1_000 });
          const letters = page.deadLetters.filter(({ id }) => ids?.includes(id) ?? true);
          const count = await backend.deadLetters.purge(group, letters.map(({ id }) => id));
          await backend.publishMany(letters.map((letter) => ({ ...letter, deduplicate: false })));
          return count;
        },
      }),
  },
  {
    fault: "lists dead letters without end",
    caughtBy: "dead letters are listed page by page, oldest first, each once",
    breaks: (backend) =>
      deadLetters(backend, {
        list: async (group, { limit }) => ({ ...await backend.deadLetters.list(group, { limit }), cursor: "0" }),
      }),
  },
  {
    fault: "purges nothing",
    caughtBy: "a purge removes dead letters, all or some",
    breaks: (backend) => deadLetters(backend, { purge: (_, ids) => Promise.resolve(ids?.length ?? 0) }),
  },
];

/** Broken in what they say of themselves. */
export const brokenDeclarations: readonly Broken[] = [
  {
    fault: "declares what it is not meant to",
    caughtBy: "the backend declares what it is meant to",
    breaks: (backend) => changed(backend, { capabilities: { ...backend.capabilities, durable: true } }),
  },
  {
    fault: "declares groups that cannot be made",
    caughtBy: "what is declared has its members",
    breaks: (backend) => {
      const without: MessageQueueBackend = {
        capabilities: backend.capabilities,
        publish: backend.publish.bind(backend),
        consume: backend.consume.bind(backend),
        publishMany: backend.publishMany.bind(backend),
        receive: backend.receive.bind(backend),
        deadLetters: backend.deadLetters,
        stats: backend.stats.bind(backend),
        [Symbol.asyncDispose]: backend[Symbol.asyncDispose].bind(backend),
      };
      return without;
    },
  },
  {
    fault: "counts what is in flight as ready",
    caughtBy: "stats count what is ready, in flight and dead",
    breaks: (backend) =>
      changed(backend, {
        async stats() {
          const { retained, groups } = await backend.stats();
          const wrong = Object.entries(groups).map(([name, group]) =>
            [name, { ...group, ready: group.ready + group.inFlight, inFlight: 0 }] as const
          );
          return { retained, groups: Object.fromEntries(wrong) };
        },
      }),
  },
  {
    fault: "does not bear a second dispose",
    caughtBy: "a backend can be disposed twice",
    breaks: (backend) => {
      let disposals = 0;
      return changed(backend, {
        async [Symbol.asyncDispose]() {
          if (++disposals > 1) throw new Error("disposed twice");
          await backend[Symbol.asyncDispose]();
        },
      });
    },
  },
];

function groups(backend: MemoryBackend, changes: Partial<MemoryBackend["groups"]>): MessageQueueBackend {
  const store = backend.groups;
  return changed(backend, {
    groups: {
      create: store.create.bind(store),
      update: store.update.bind(store),
      list: store.list.bind(store),
      delete: store.delete.bind(store),
      ...changes,
    },
  });
}

function deadLetters(backend: MemoryBackend, changes: Partial<MemoryBackend["deadLetters"]>): MessageQueueBackend {
  const store = backend.deadLetters;
  return changed(backend, {
    deadLetters: {
      list: store.list.bind(store),
      get: store.get.bind(store),
      replay: store.replay.bind(store),
      purge: store.purge.bind(store),
      ...changes,
    },
  });
}
