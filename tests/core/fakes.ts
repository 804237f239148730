/** Backends that fail on purpose, and a logger that remembers: for tests of the core. */

import type { BackendReceiveOptions, Claim, Logger, Message, PullOptions, Receiver, Settlement } from "../../mod.ts";
import { MemoryBackend, type MemoryOptions } from "../../backends/memory.ts";

/** What a call is to do before it goes through: throw, wait, or nothing. */
export type Before = () => void | Promise<void>;

/** A memory backend whose every step can be made to fail, and which counts them. */
export class FaultyBackend extends MemoryBackend {
  beforePublish: (messages: readonly Message[]) => void | Promise<void> = () => {};
  beforeReceive: Before = () => {};
  beforePull: Before = () => {};
  beforeSettle: (settlements: readonly Settlement[]) => void | Promise<void> = () => {};
  beforeExtend: Before = () => {};
  readonly pulls: PullOptions[] = [];
  readonly settled: (readonly Settlement[])[] = [];
  extensions = 0;
  openReceivers = 0;

  constructor(options: MemoryOptions = {}) {
    super(options);
  }

  override async publishMany(messages: readonly Message[]): Promise<void> {
    await this.beforePublish(messages);
    await super.publishMany(messages);
  }

  override async receive(options: BackendReceiveOptions): Promise<Receiver> {
    await this.beforeReceive();
    const inner = await super.receive(options);
    this.openReceivers++;
    return {
      pull: async (pull: PullOptions) => {
        this.pulls.push(pull);
        await this.beforePull();
        return await inner.pull(pull);
      },
      settle: async (settlements: readonly Settlement[]) => {
        await this.beforeSettle(settlements);
        this.settled.push(settlements);
        return await inner.settle(settlements);
      },
      extend: async (claims: readonly Claim[], leaseMs: number) => {
        await this.beforeExtend();
        this.extensions++;
        return await inner.extend(claims, leaseMs);
      },
      close: async () => {
        await inner.close();
        this.openReceivers--;
      },
    };
  }
}

/** A logger that remembers its lines. */
export class RecordingLogger implements Logger {
  readonly lines: string[] = [];
  debug(message: string): void {
    this.lines.push(`debug: ${message}`);
  }
  info(message: string): void {
    this.lines.push(`info: ${message}`);
  }
  warn(message: string): void {
    this.lines.push(`warn: ${message}`);
  }
  error(message: string): void {
    this.lines.push(`error: ${message}`);
  }
}

/** An `AbortSignal` that counts its listeners. */
export function countedSignal(): { controller: AbortController; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  let count = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  const live = new Set<unknown>();
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    if (!live.has(args[1])) count++;
    live.add(args[1]);
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    if (live.delete(args[1])) count--;
    remove(...args);
  };
  signal.addEventListener("abort", () => {});
  count = 0;
  return { controller, listeners: () => count };
}

/** Waits until something holds; the test's own deadline ends it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 1));
}
