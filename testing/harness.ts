/**
 * What the kit is told about a backend, and what comes out.
 *
 * @module
 */

import type { Capabilities, MessageQueueBackend, MessageQueueBackendModule } from "../mod.ts";

/** Settings that only some cases need. */
export interface StoreSettings {
  /** How many messages the exchange may hold. */
  readonly maxLength?: number;
  /** How old a message may become, in milliseconds. */
  readonly maxAgeMs?: number;
}

/** What the kit needs to know to try `fromEnv`. */
export interface HarnessEnvironment {
  /** What the backend's module exports. */
  readonly module: MessageQueueBackendModule;
  /** Variables that are wrong, one problem each. */
  readonly wrong: Readonly<Record<string, string>>;
  /** Parts of those values that are secret and must not be in the error. */
  readonly secrets?: readonly string[];
}

/** What the kit needs to know about a backend. */
export interface Harness {
  /** The backend's name, for reports. */
  readonly name: string;
  /**
   * Opens an instance over the store of that exchange. Every case has an exchange of its own and opens two instances or more, which must
   * meet in the same store; each is disposed when the case ends.
   */
  readonly open: (exchange: string) => Promise<MessageQueueBackend>;
  /** What it is meant to guarantee; the kit asserts that the backend declares just that. */
  readonly capabilities: Capabilities;
  /**
   * Opens an instance whose store is bounded. Absent, what `maxLength` and `maxAgeMs` do is not tried, and the report says so.
   */
  readonly openBounded?: (exchange: string, settings: StoreSettings) => Promise<MessageQueueBackend>;
  /** Kills the broker (SIGKILL) and starts it again over the same data. Absent for what has no broker. */
  readonly restart?: () => Promise<void>;
  /**
   * URL of a module that exports `open(exchange)`, as above: consumers that are to be killed then run in a process of their own. Absent for
   * a store that lives in one process; a consumer is then cut off from the store in place of being killed.
   */
  readonly child?: string;
  /**
   * Flags for the runtime that runs such a process, such as `--config` with a path.
   *
   * @default {[]}
   */
  readonly childArgs?: readonly string[];
  /**
   * Whether it is a backend of three methods, without settlement one by one (`receive`).
   *
   * @default {true} where `leases` is not declared
   */
  readonly plain?: boolean;
  /** How the backend is made from the environment. Absent, its configuration is not tried, and the report says so. */
  readonly environment?: HarnessEnvironment;
  /** Cases not to run, by name, each with the reason; the report shows them. */
  readonly skip?: Readonly<Record<string, string>>;
  /** Cases to run, by name; absent means all. */
  readonly only?: readonly string[];
  /**
   * How many messages the large cases use, as a factor.
   *
   * @default {1}
   */
  readonly scale?: number;
  /**
   * The lease, in milliseconds, where a case waits for one to end.
   *
   * @default {2_000}
   */
  readonly leaseMs?: number;
  /**
   * How long a case waits for anything before it fails, in milliseconds.
   *
   * @default {30_000}
   */
  readonly deadlineMs?: number;
}

/** What a case needs: a capability, or something that not every backend or harness has. */
export type Need =
  | keyof Capabilities
  /** Settlement one by one: the backend has `receive`. */
  | "receive"
  /** The harness can restart the broker. */
  | "restart"
  /** The harness can bound the store. */
  | "openBounded"
  /** The harness can run a consumer in a process of its own. */
  | "child"
  /** The harness says how the backend is made from the environment. */
  | "environment";

/** How a promise is kept: by the backend, by the queue in its place, or by refusing what asks for it. */
export type How = "native" | "emulated" | "refused";

/** What became of one case. */
export interface CaseResult {
  /** The case. */
  readonly name: string;
  /** Its promise. */
  readonly promise: number;
  /** What became of it. */
  readonly outcome: "passed" | "failed" | "skipped" | "not applicable";
  /** What passing shows. */
  readonly how: How;
  /** Why it was skipped or does not apply. */
  readonly reason?: string;
  /** Why it failed. */
  readonly error?: unknown;
  /** What the queues logged in a case that failed. */
  readonly logged?: readonly string[];
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/** What became of all cases. */
export interface Report {
  /** The backend's name. */
  readonly name: string;
  /** Whether no case failed. */
  readonly passed: boolean;
  /** Case by case. */
  readonly results: readonly CaseResult[];
}

/** The promises, by number. */
export const promises: readonly string[] = [
  "The protocol",
  "At least once",
  "Asking for the next acks the last",
  "Attempts",
  "Crash",
  "Groups",
  "Keys",
  "Retention",
  "Delay",
  "Dead letters",
  "Abort and drain",
  "Reconnection",
  "Ordering",
  "Deduplication",
  "Configuration",
];
