/**
 * A small queue of files, one for each message: `ready/NAME`, and `taken/TIME~NAME` while a consumer has it, until that time.
 *
 * A rename is atomic, so two processes never take the same message. Replace this by a client of your broker.
 *
 * @module
 */

import { mkdir, open, readdir, readFile, rename, unlink } from "node:fs/promises";
import { join } from "node:path";

/** A message that was taken. */
export interface Taken {
  /** What was put. */
  readonly text: string;
  /** Done with it: it is gone. */
  ack(): Promise<void>;
  /** Not done with it: it is ready again. */
  release(): Promise<void>;
}

// How often a consumer that waits looks for messages of other processes.
const pollMs = 20;
// How many names of one look into the folder are kept.
const mostNames = 256;

/** A queue in a folder. */
export class Engine {
  /** Whether it was closed. */
  closed = false;
  readonly #folder: string;
  readonly #leaseMs: number;
  readonly #waiting = new Set<() => void>();
  #made: Promise<unknown> | undefined;
  #names: string[] = [];
  #count = 0;
  #lookForDeadAt = 0;

  /**
   * Names a queue; nothing is made before its first use.
   *
   * @param folder The folder.
   * @param exchange The name of the queue in it.
   * @param leaseMs How long a consumer that gives no sign of life keeps a message, in milliseconds.
   */
  constructor(folder: string, exchange: string, leaseMs: number) {
    // A name becomes one folder, whatever is in it.
    this.#folder = join(folder, encodeURIComponent(exchange).replaceAll(".", "%2E"));
    this.#leaseMs = leaseMs;
  }

  /**
   * Stores a message.
   *
   * @param text The message.
   */
  async put(text: string): Promise<void> {
    await this.#make();
    const number = String(this.#count++).padStart(8, "0");
    const name = `${Date.now()}-${number}-${crypto.randomUUID()}`;
    const temporary = join(this.#folder, "new", name);
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.#ready(name));
    for (const wake of this.#waiting) wake();
  }

  /**
   * Takes the oldest message.
   *
   * @returns The message; `undefined` when there is none.
   */
  async take(): Promise<Taken | undefined> {
    await this.#make();
    await this.#reviveDead();
    for (let looked = false;;) {
      const name = this.#names.pop();
      if (name !== undefined) {
        const taken = await this.#tryTake(name);
        if (taken !== undefined) return taken;
      } else if (looked) return undefined;
      else {
        looked = true;
        const names = (await readdir(join(this.#folder, "ready"))).sort().slice(0, mostNames);
        this.#names = names.reverse();
      }
    }
  }

  /**
   * Waits until there may be a message.
   *
   * @param signal Ends the wait.
   */
  wait(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, pollMs);
      this.#waiting.add(done);
      signal?.addEventListener("abort", done);
      if (signal?.aborted || this.closed) done();
    });
  }

  /** Ends what waits. */
  close(): void {
    this.closed = true;
    for (const wake of [...this.#waiting]) wake();
  }

  #ready(name: string): string {
    return join(this.#folder, "ready", name);
  }

  #taken(name: string): string {
    return join(this.#folder, "taken", `${Date.now() + this.#leaseMs}~${name}`);
  }

  #make(): Promise<unknown> {
    const folders = ["new", "ready", "taken"].map((name) => join(this.#folder, name));
    this.#made ??= Promise.all(folders.map((path) => mkdir(path, { recursive: true, mode: 0o700 })));
    return this.#made;
  }

  async #tryTake(name: string): Promise<Taken | undefined> {
    let path = this.#taken(name);
    if (!await move(this.#ready(name), path)) return undefined;
    const text = await readFile(path, "utf8");
    let renewing = Promise.resolve();
    const timer = setInterval(() => {
      renewing = renewing.then(async () => {
        const next = this.#taken(name);
        if (await move(path, next)) path = next;
      });
    }, this.#leaseMs / 3);
    const end = async () => {
      clearInterval(timer);
      await renewing;
    };
    return {
      text,
      ack: async () => {
        await end();
        await unlink(path).catch(ignoreMissing);
      },
      release: async () => {
        await end();
        await move(path, this.#ready(name));
      },
    };
  }

  // What a consumer held that was killed: its time is over, and nobody moved it on.
  async #reviveDead(): Promise<void> {
    const now = Date.now();
    if (now < this.#lookForDeadAt) return;
    this.#lookForDeadAt = now + this.#leaseMs / 3;
    for (const entry of await readdir(join(this.#folder, "taken"))) {
      const [until, name] = entry.split("~");
      if (name === undefined || Number(until) > now) continue;
      await move(join(this.#folder, "taken", entry), this.#ready(name));
    }
  }
}

/** Renames a file; `false` when another process was quicker. */
async function move(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    ignoreMissing(error);
    return false;
  }
}

function ignoreMissing(error: unknown): void {
  if ((error as { code?: unknown }).code !== "ENOENT") throw error;
}
