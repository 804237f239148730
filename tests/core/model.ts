/**
 * The memory backend in a few words: what may be pulled, and what becomes of it. The model that random runs are held against.
 *
 * @module
 */

/** Where a message stands in a group. */
export type Standing =
  /** Not handed out, or given back by `release`. */
  | { readonly at: "ready"; readonly attempts: number }
  /** In a receiver's hands. */
  | { readonly at: "held"; readonly attempt: number; readonly claim: object; readonly until: number }
  /** Nacked, and held back. */
  | { readonly at: "delayed"; readonly attempts: number; readonly until: number }
  | { readonly at: "acked" }
  | { readonly at: "dead" };

/** A message as the model knows it. */
export interface ModelMessage {
  readonly id: string;
  readonly key: string;
  /** With the id it makes a message known: an id may be used again when its window is over. */
  readonly publishedAt: number;
  readonly orderingKey: string | undefined;
  /** When it enters the log; it is nobody's before. */
  readonly dueAt: number;
  /** Its place in the log; set when it enters. */
  place: number | undefined;
}

/** A dead letter as the model knows it. */
export interface DeadMessage {
  readonly id: string;
  readonly publishedAt: number;
  readonly attempts: number;
  readonly reason: string;
}

/** How the model's group is made. */
export interface ModelGroupOptions {
  readonly name: string;
  readonly matches: (key: string) => boolean;
  readonly maxAttempts: number;
}

/** One group. */
export class ModelGroup {
  readonly options: ModelGroupOptions;
  readonly standings: Map<ModelMessage, Standing> = new Map();
  /** Its dead letters, oldest first. */
  dead: DeadMessage[] = [];

  constructor(options: ModelGroupOptions) {
    this.options = options;
  }

  /** Messages that stand at one of these. */
  standing(...at: Standing["at"][]): ModelMessage[] {
    return [...this.standings].filter(([, standing]) => at.includes(standing.at)).map(([message]) => message);
  }

  /** What was delivered before, is due, and has attempts left: one of these goes first. */
  retries(): ModelMessage[] {
    return this.#ready((attempts) => attempts > 0 && attempts < this.options.maxAttempts);
  }

  /** What is due but has used up its attempts: dead as soon as somebody looks. */
  exhausted(): ModelMessage[] {
    return this.#ready((attempts) => attempts >= this.options.maxAttempts);
  }

  /** What was never delivered and may go now, in the order in which it goes. */
  fresh(): ModelMessage[] {
    const fresh = this.#ready((attempts) => attempts === 0).sort((a, b) => (a.place ?? 0) - (b.place ?? 0));
    // Of each ordering key only the first that is not done with may go.
    const open = this.standing("ready", "held", "delayed");
    return fresh.filter(({ orderingKey, place }) =>
      orderingKey === undefined ||
      !open.some((other) => other.orderingKey === orderingKey && (other.place ?? 0) < (place ?? 0))
    );
  }

  #ready(wanted: (attempts: number) => boolean): ModelMessage[] {
    return [...this.standings].filter(([, standing]) => standing.at === "ready" && wanted(standing.attempts))
      .map(([message]) => message);
  }

  /** Gives up on a message. */
  bury(message: ModelMessage, attempts: number, reason: string): void {
    this.standings.set(message, { at: "dead" });
    const { id, publishedAt } = message;
    this.dead.push({ id, publishedAt, attempts, reason });
  }

  /** A failed attempt: again, later, or never. */
  fail(message: ModelMessage, attempts: number, until: number | undefined): void {
    if (attempts >= this.options.maxAttempts) this.bury(message, attempts, "exhausted");
    else if (until === undefined) this.standings.set(message, { at: "ready", attempts });
    else this.standings.set(message, { at: "delayed", attempts, until });
  }
}

/** The whole store. */
export class Model {
  now = 0;
  readonly groups: readonly ModelGroup[];
  readonly messages: ModelMessage[] = [];
  readonly #known: Map<string, number> = new Map();
  readonly #dedupWindowMs: number;
  #places = 0;

  constructor(groups: readonly ModelGroupOptions[], dedupWindowMs: number) {
    this.groups = groups.map((options) => new ModelGroup(options));
    this.#dedupWindowMs = dedupWindowMs;
  }

  /** Stores a message, unless an application's id is known. */
  publish(message: Omit<ModelMessage, "place">, deduplicate: boolean): void {
    if (deduplicate) {
      if ((this.#known.get(message.id) ?? -Infinity) > this.now) return;
      this.#known.set(message.id, this.now + this.#dedupWindowMs);
    }
    this.messages.push({ ...message, place: undefined });
    this.#admit();
  }

  /** Lets time pass: what is delayed becomes due, leases end. */
  advance(ms: number): void {
    this.now += ms;
    this.#admit();
    for (const group of this.groups) {
      for (const [message, standing] of group.standings) {
        if ((standing.at !== "held" && standing.at !== "delayed") || standing.until > this.now) continue;
        // The attempt of a lease that ended counts; whether it was the last is looked at before the next hand-over.
        const attempts = standing.at === "held" ? standing.attempt : standing.attempts;
        group.standings.set(message, { at: "ready", attempts });
      }
    }
  }

  #admit(): void {
    const due = this.messages.filter(({ place, dueAt }) => place === undefined && dueAt <= this.now);
    // Stable: of those due at the same time the one published first comes first.
    for (const message of due.sort((a, b) => a.dueAt - b.dueAt)) {
      message.place = this.#places++;
      for (const group of this.groups) {
        if (group.options.matches(message.key)) group.standings.set(message, { at: "ready", attempts: 0 });
      }
    }
  }
}

interface Timer {
  readonly time: number;
  readonly ring: () => void;
}

/** A clock that stands still until it is told to go on. */
export class VirtualClock {
  #now = 0;
  #timers: Timer[] = [];

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): () => void {
    const timer = { time: this.#now + ms, ring: callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Goes on, ringing each timer at its time. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter(({ time }) => time <= end);
      // Stable: of those at the same time the one that was set first rings first.
      const next = due.sort((a, b) => a.time - b.time)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.time);
      next.ring();
    }
    this.#now = end;
  }
}
