/**
 * Backends that are broken on purpose, each in one way, and the case of the kit that is meant to catch it.
 *
 * @module
 */

import type { MemoryBackend } from "../../backends/memory.ts";
import type { Claim, Message, MessageQueueBackend, Settlement } from "../../mod.ts";
import { changed, withReceiver } from "../../testing/faults.ts";

/** One way to be broken. */
export interface Broken {
  /** What it does wrong. */
  readonly fault: string;
  /** The case meant for it. */
  readonly caughtBy: string;
  /** Breaks a sound backend. */
  breaks(backend: MemoryBackend): MessageQueueBackend;
}

const noSignal = new AbortController().signal;

function bodyAsText({ body }: Message): string {
  return typeof body === "string" ? body : new TextDecoder().decode(body);
}

/** Changes messages on their way in. */
function storing(change: (message: Message) => Message | readonly Message[]): Broken["breaks"] {
  return (backend) =>
    changed(backend, { publishMany: (messages) => backend.publishMany(messages.flatMap((each) => change(each))) });
}

/** Changes settlements on their way in. */
export function settling(change: (settlement: Settlement) => Settlement): Broken["breaks"] {
  return (backend) =>
    withReceiver(backend, (receiver) => ({ settle: (settlements) => receiver.settle(settlements.map(change)) }));
}

/** Changes claims on their way out, and finds the true ones again. */
function claiming(change: (claims: Claim[]) => Claim[]): Broken["breaks"] {
  const originals = new WeakMap<Claim, Claim>();
  const original = (claim: Claim) => originals.get(claim) ?? claim;
  return (backend) =>
    withReceiver(backend, (receiver) => ({
      async pull(options) {
        const claims = (await receiver.pull(options)).map((claim) => {
          const copy = { ...claim };
          originals.set(copy, claim);
          return copy;
        });
        return change(claims);
      },
      settle: (settlements) =>
        receiver.settle(settlements.map((each) => ({ ...each, claim: original(each.claim) }) as Settlement)),
      extend: (claims, leaseMs) => receiver.extend(claims.map(original), leaseMs),
    }));
}

/** Broken in how messages are stored. */
export const brokenStores: readonly Broken[] = [
  {
    fault: "duplicates what is published",
    caughtBy: "100 messages with headers arrive once each, across two consumers",
    breaks: storing((message) => [message, { ...message }]),
  },
  {
    fault: "loses every tenth message",
    caughtBy: "thousands of messages over 50 consumers, none missing and none twice",
    breaks: storing((message) => JSON.parse(bodyAsText(message)).n % 10 === 9 ? [] : message),
  },
  {
    fault: "keeps header names in lower case",
    caughtBy: "headers of any Unicode arrive as they were sent",
    breaks: storing((message) => ({
      ...message,
      headers: Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name.toLowerCase(), value])),
    })),
  },
  {
    fault: "cuts large payloads off",
    caughtBy: "payloads arrive as they were sent",
    breaks: storing((message) => message.body.length > 65_536 ? { ...message, body: "{}" } : message),
  },
  {
    fault: "keeps bytes as text",
    caughtBy: "a driver keeps bytes and their content type",
    breaks: storing((message) => ({ ...message, body: bodyAsText(message) })),
  },
  {
    fault: "forgets the content type",
    caughtBy: "payloads of other codecs than JSON arrive as they were sent",
    breaks: storing(({ contentType: _, ...message }) => message),
  },
  {
    fault: "folds the case of keys",
    caughtBy: "keys of any kind of character arrive as they were sent",
    breaks: storing((message) => ({ ...message, key: message.key.toLowerCase() })),
  },
  {
    fault: "makes ids of its own",
    caughtBy: "publish resolves to the id that arrives",
    breaks: storing((message) => ({ ...message, id: crypto.randomUUID() })),
  },
  {
    fault: "ignores the delay",
    caughtBy: "a delayed message does not come before its time",
    breaks: storing(({ deliverAt: _, ...message }) => message),
  },
  {
    fault: "ignores the id that is to be stored once",
    caughtBy: "a second message with the same id resolves and is not stored",
    breaks: storing((message) => ({ ...message, deduplicate: false })),
  },
  {
    fault: "takes every double for the first, also those without an id of the application's",
    caughtBy: "an id is known within its exchange only, and messages without one are never taken for doubles",
    breaks: storing((message) => ({ ...message, id: bodyAsText(message), deduplicate: true })),
  },
  {
    fault: "ignores the ordering key",
    caughtBy: "a held message of a key holds back the others of that key, whoever asks",
    breaks: storing(({ orderingKey: _, ...message }) => message),
  },
  {
    fault: "confirms before it has stored, and forgets what was not stored at the close",
    caughtBy: "closing a publisher during its publishes loses none that resolved",
    breaks(backend) {
      const later = new Set<ReturnType<typeof setTimeout>>();
      return changed(backend, {
        publishMany(messages) {
          const timer = setTimeout(() => {
            later.delete(timer);
            void backend.publishMany(messages);
          }, 20);
          later.add(timer);
          return Promise.resolve();
        },
        async [Symbol.asyncDispose]() {
          for (const timer of later) clearTimeout(timer);
          await backend[Symbol.asyncDispose]();
        },
      });
    },
  },
  {
    fault: "stores the part of a batch that fits",
    caughtBy: "a batch that does not fit stores none of it",
    breaks: (backend) =>
      changed(backend, {
        async publishMany(messages) {
          for (const message of messages) await backend.publishMany([message]);
        },
      }),
  },
  {
    fault: "trims what a slow group has not acked",
    caughtBy: "trimming under a backlog drops nothing that a group has not acked",
    breaks(backend) {
      let stored = 0;
      return changed(backend, {
        async publishMany(messages) {
          await backend.publishMany(messages);
          stored += messages.length;
          if (stored % 500 !== 0) return;
          for (const [group, { ready }] of Object.entries((await backend.stats()).groups)) {
            if (ready <= 1_000) continue;
            const receiver = await backend.receive({ group, leaseMs: 60_000 });
            const claims = await receiver.pull({ max: ready - 1_000, signal: noSignal });
            await receiver.settle(claims.map((claim) => ({ claim, verb: "ack" })));
            await receiver.close();
          }
        },
      });
    },
  },
  {
    fault: "leaves a listener on a publish's signal",
    caughtBy: "a driver leaves no listener on the signal of a pull or a publish",
    breaks: (backend) =>
      changed(backend, {
        async publish(key, payload, options) {
          options?.signal?.addEventListener("abort", () => {});
          await backend.publish(key, payload, options);
        },
      }),
  },
];

/** Broken in how messages are handed out. */
export const brokenPulls: readonly Broken[] = [
  {
    fault: "acks before the message is handled",
    caughtBy: "break releases the payload in hand and loses nothing",
    breaks: (backend) =>
      withReceiver(backend, (receiver) => ({
        async pull(options) {
          const claims = await receiver.pull(options);
          await receiver.settle(claims.map((claim) => ({ claim, verb: "ack" })));
          return claims;
        },
        settle: (settlements) => Promise.resolve(settlements.map(() => true)),
      })),
  },
  {
    fault: "loses the order",
    caughtBy: "a backlog comes in order",
    breaks: claiming((claims) => claims.reverse()),
  },
  {
    fault: "forgets the attempt",
    caughtBy: "a nack costs an attempt and brings the message again",
    breaks: claiming((claims) => claims.map((claim) => Object.assign(claim, { attempt: 1 }))),
  },
  {
    fault: "gives more than is asked for",
    caughtBy: "a driver pulls no more than it is asked for",
    breaks: (backend) =>
      withReceiver(backend, (receiver) => ({ pull: ({ signal }) => receiver.pull({ max: 100, signal }) })),
  },
  {
    fault: "prefetches what was delivered before together with others",
    caughtBy: "a driver hands out what was delivered before one at a time",
    breaks: (backend) =>
      withReceiver(backend, (receiver) => ({
        async pull(options) {
          const claims = await receiver.pull(options);
          if (claims.length >= options.max) return claims;
          // Nothing is waited for here: a pull that finds nothing at once is cut off.
          const more = receiver.pull({ max: options.max - claims.length, signal: AbortSignal.timeout(1) });
          return [...claims, ...await more];
        },
      })),
  },
  {
    fault: "leaves a listener on a pull's signal",
    caughtBy: "a driver leaves no listener on the signal of a pull or a publish",
    breaks: (backend) =>
      withReceiver(backend, (receiver) => ({
        pull(options) {
          options.signal.addEventListener("abort", () => {});
          return receiver.pull(options);
        },
      })),
  },
  {
    fault: "goes on waiting after an abort",
    caughtBy: "a driver's pull ends when its signal is aborted, and the receiver goes on",
    breaks: (backend) =>
      withReceiver(backend, (receiver) => ({ pull: ({ max }) => receiver.pull({ max, signal: noSignal }) })),
  },
];

/** Broken in how messages are settled and kept. */
export const brokenSettlements: readonly Broken[] = [
  {
    fault: "drops what is nacked",
    caughtBy: "a nack costs an attempt and brings the message again",
    breaks: settling(({ claim, ...settlement }) =>
      settlement.verb === "nack" ? { claim, verb: "ack" } : { claim, ...settlement }
    ),
  },
  {
    fault: "redelivers twice what is nacked",
    caughtBy: "hundreds of nacks are all delivered later, with attempt 2",
    breaks: (backend) =>
      withReceiver(backend, (receiver) => ({
        async settle(settlements) {
          const held = await receiver.settle(settlements);
          const copies = settlements.filter(({ verb }) => verb === "nack")
            .map(({ claim: { id, key, body, headers, publishedAt } }) => ({ id, key, body, headers, publishedAt }));
          await backend.publishMany(copies.map((copy) => ({ ...copy, deduplicate: false })));
          return held;
        },
      })),
  },
  {
    fault: "ignores the delay of a nack",
    caughtBy: "a nack with a delay brings the message again, not before its time",
    breaks: settling((settlement) => settlement.verb === "nack" ? { ...settlement, delayMs: 0 } : settlement),
  },
  {
    fault: "counts a release as an attempt",
    caughtBy: "a driver's release costs no attempt",
    breaks: settling(({ claim, ...settlement }) =>
      settlement.verb === "release" ? { claim, verb: "nack", delayMs: 0 } : { claim, ...settlement } as Settlement
    ),
  },
  {
    fault: "accepts a stale ack",
    caughtBy: "a stale holder's settlement is refused and changes nothing",
    breaks: (backend) =>
      withReceiver(backend, (receiver) => ({
        async settle(settlements) {
          await receiver.settle(settlements);
          return settlements.map(() => true);
        },
      })),
  },
  {
    fault: "says that it held whatever it is given",
    caughtBy: "a driver tells for each settlement whether the message was still held",
    breaks: (backend) =>
      withReceiver(backend, (receiver) => ({
        async settle(settlements) {
          await receiver.settle(settlements);
          return settlements.map(() => true);
        },
      })),
  },
  {
    fault: "does not extend leases",
    caughtBy: "a message whose consumer lives is not given to another, however long its handler runs",
    breaks: (backend) => withReceiver(backend, () => ({ extend: (claims) => Promise.resolve(claims.map(() => true)) })),
  },
  {
    fault: "never ends a lease",
    caughtBy: "what a killed consumer had in hand comes again with attempt 2",
    breaks: (backend) =>
      changed(backend, { receive: (options) => backend.receive({ ...options, leaseMs: 3_600_000 }) }),
  },
  {
    fault: "keeps what it held when it is closed",
    caughtBy: "closing a driver's receiver releases what it held, and a second close is harmless",
    breaks: (backend) => withReceiver(backend, () => ({ close: () => Promise.resolve() })),
  },
  {
    fault: "hangs when a consumer returns",
    caughtBy: "return() ends a waiting next()",
    breaks: (backend) => withReceiver(backend, () => ({ close: () => new Promise<never>(() => {}) })),
  },
];
