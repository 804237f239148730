/**
 * What every candidate does, and what it carries.
 *
 * @module
 */

/** Something that messages go through. */
export interface Subject {
  /** Publishes so many; resolves when the last is accepted. */
  publish?(count: number): Promise<void>;
  /** Takes so many, and settles them where the candidate can; resolves when the last is settled. */
  consume?(count: number): Promise<void>;
  /** Both at the same time, where that is not simply both methods at once. */
  through?(count: number): Promise<void>;
  /** Starts to listen, until `close`. */
  listen?(taken: (payload: object) => void): Promise<void>;
  /** Publishes one payload. */
  send?(payload: object): Promise<void>;
  /** Frees everything. */
  close(): Promise<void>;
}

/** Where a candidate finds what it needs. */
export interface Setting {
  /** An empty folder. */
  readonly folder: string;
  /** The Redis server. */
  readonly url: string;
  /** A name that nobody used before. */
  readonly name: string;
  /** What to send. */
  readonly load: Load;
}

/** Makes a candidate ready to be measured. */
export type Candidate = (setting: Setting) => Promise<Subject>;

/** One message. */
export interface Item {
  readonly key: string;
  readonly payload: object;
}

/** The messages to send: the one of each number. */
export type Load = (n: number) => Item;

/** So many publishes are under way at once, and so many messages are taken at once, in every candidate that can choose. */
export const inFlight = 256;

/** The loads by name. */
export type LoadName = "200 B" | "10 kB" | "webhooks";

/**
 * Makes a load.
 *
 * @param name `200 B`: JSON of about so many bytes; `10 kB`: an object with many members; `webhooks`: what GitHub really sends; else a
 *   number of bytes.
 */
export async function makeLoad(name: LoadName | number): Promise<Load> {
  if (name === "webhooks") return await webhooks();
  if (name === "10 kB") return (n) => ({ key: "order.created", payload: { n, lines: orderLines } });
  const note = "x".repeat(Math.max(0, (name === "200 B" ? 200 : name) - 80));
  return (n) => ({
    key: "order.created",
    payload: { n, kind: "order", customer: "c-1234567890", note, at: 1_700_000_000_000 },
  });
}

const orderLines = Array.from({ length: 80 }, (_, n) => ({
  sku: `SKU-${1_000 + n}`,
  name: `The article with the number ${n} of this catalogue`,
  count: n % 7 + 1,
  price: { amount: 100 * n + 99, currency: "EUR" },
}));

async function webhooks(): Promise<Load> {
  const { default: events } = await import("@octokit/webhooks-examples", { with: { type: "json" } });
  const collection = events as unknown as readonly { readonly name: string; readonly examples: readonly object[] }[];
  const items = collection.flatMap(({ name, examples }) =>
    examples.map((payload): Item => ({ key: `github.${name}`, payload }))
  );
  return (n) => items[n % items.length] ?? { key: "github.none", payload: {} };
}

/** Runs a body for every number below `count`, so many at once. */
export async function lanes(count: number, width: number, body: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await body(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
}

/** The sizes of batches that together make `count`. */
export function batches(count: number): { readonly from: number; readonly size: number }[] {
  return Array.from({ length: Math.ceil(count / inFlight) }, (_, i) => ({
    from: i * inFlight,
    size: Math.min(inFlight, count - i * inFlight),
  }));
}

/** Resolves when it was called `count` times; what a candidate that calls a handler counts with. */
export function countdown(count: number): { readonly done: Promise<void>; tick(): void } {
  const { promise: done, resolve } = Promise.withResolvers<void>();
  let left = count;
  return {
    done,
    tick: () => {
      if (--left === 0) resolve();
    },
  };
}
