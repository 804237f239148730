/**
 * The errors that `@abe/mq` throws, and how a program tells them apart.
 *
 * Misuse (a value of the wrong type or out of range) is a `TypeError` or a `RangeError`. Everything a program may want
 * to catch is a {@linkcode MessageQueueError}, whose `code` is stable; its text is for people and may change.
 *
 * @module
 */

/**
 * What went wrong, for programs.
 *
 * | code | meaning |
 * | --- | --- |
 * | `aborted_publish` | a batch was cut short before its messages were sent |
 * | `closed` | the queue, consumer or backend was closed before the call |
 * | `config` | settings are missing or wrong ({@linkcode ConfigError}) |
 * | `connection` | the broker cannot be reached or the connection broke; tried again by the queue |
 * | `exhausted` | every attempt failed and there is no place for dead letters |
 * | `full` | `maxLength` is reached; nothing was stored |
 * | `group_conflict` | the group exists with another filter |
 * | `invalid_payload` | the payload cannot be stored (not a plain JSON object, too large, ...) |
 * | `lease_lost` | the message was meanwhile given to another consumer, or its lease ran out |
 * | `not_found` | no such group, dead letter, ... |
 * | `partial_publish` | some messages of a batch were not stored ({@linkcode PublishManyError}) |
 * | `plugin_ambiguous` | several backends could be meant and none was named |
 * | `plugin_failed` | the module was loaded, but its code or its `fromEnv` threw |
 * | `plugin_invalid` | the module exports no backend |
 * | `plugin_not_found` | nothing is known by the name, package or URL |
 * | `plugin_refused` | loading was refused for safety: wrong digest, host not allowed, ... |
 * | `publish_timeout` | the broker could not be reached before `publishTimeoutMs` ended |
 * | `storage` | the broker or disk refused to store (disk full, read-only, out of memory, not a database) |
 * | `timeout` | a time that the caller set ran out |
 * | `undecodable` | the stored bytes are not a payload |
 * | `unsupported` | the backend cannot honour the option or method |
 */
export type MessageQueueErrorCode =
  | "aborted_publish"
  | "closed"
  | "config"
  | "connection"
  | "exhausted"
  | "full"
  | "group_conflict"
  | "invalid_payload"
  | "lease_lost"
  | "not_found"
  | "partial_publish"
  | "plugin_ambiguous"
  | "plugin_failed"
  | "plugin_invalid"
  | "plugin_not_found"
  | "plugin_refused"
  | "publish_timeout"
  | "storage"
  | "timeout"
  | "undecodable"
  | "unsupported";

/** Options of {@linkcode MessageQueueError}. */
export interface MessageQueueErrorOptions {
  /** What caused it. */
  readonly cause?: unknown;
  /**
   * Whether the same call may succeed a little later, so that the queue should try again.
   *
   * @default {false}
   */
  readonly retryable?: boolean;
}

// Two copies of this package can meet in one process (a plugin may bring its own), so `instanceof` goes by a mark that
// both share and not by the class.
const brand: unique symbol = Symbol.for("@abe/mq/MessageQueueError") as never;
const configBrand: unique symbol = Symbol.for("@abe/mq/ConfigError") as never;
const manyBrand: unique symbol = Symbol.for("@abe/mq/PublishManyError") as never;

/** Whether a value has a mark that a class puts on its errors, so that those of another copy of the package are known, too. */
export function branded(value: unknown, mark: symbol): boolean {
  return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[mark] === true;
}

/**
 * An error that a program may want to catch; test its `code`, never its text.
 *
 * `instanceof` also recognises errors made by another copy of this package.
 *
 * @example
 * ```ts
 * import { MessageQueueError } from "@abe/mq";
 *
 * const error = new MessageQueueError("full", "Cannot publish: the queue holds its 10 messages");
 * console.assert(error instanceof MessageQueueError && error.code === "full");
 * ```
 */
export class MessageQueueError extends Error {
  /** What went wrong, for programs. */
  readonly code: MessageQueueErrorCode;
  /** Whether the same call may succeed a little later. */
  readonly retryable: boolean;

  /**
   * Makes an error.
   *
   * @param code What went wrong, for programs.
   * @param message What went wrong and what would mend it, for people.
   * @param options Cause, and whether to try again.
   */
  constructor(code: MessageQueueErrorCode, message: string, options: MessageQueueErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.name = "MessageQueueError";
    this.code = code;
    this.retryable = options.retryable ?? false;
    Object.defineProperty(this, brand, { value: true });
  }

  /**
   * Whether `value` is such an error, of this or of another copy of the package.
   *
   * @param value Anything.
   * @returns Whether it is one.
   */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // A subclass inherits this method; it must not claim every MessageQueueError as its own.
    if (this === MessageQueueError) return branded(value, brand);
    return Function.prototype[Symbol.hasInstance].call(this, value);
  }
}

/**
 * Settings that are missing or wrong: every problem found, in one error.
 *
 * Values of secrets never appear in it.
 *
 * @example
 * ```ts
 * import { ConfigError } from "@abe/mq";
 *
 * const error = new ConfigError(["MESSAGE_QUEUE_PORT must be 1 to 65535, got 0"]);
 * console.assert(error.code === "config" && error.problems.length === 1);
 * ```
 */
export class ConfigError extends MessageQueueError {
  /** The problems, one sentence each, naming the variable or option. */
  readonly problems: readonly string[];

  /**
   * Makes an error of all problems found.
   *
   * @param problems One sentence for each problem, naming the variable or option.
   * @param options The cause.
   */
  constructor(problems: readonly string[], options: { readonly cause?: unknown } = {}) {
    const text = problems.length === 1 ? `: ${problems[0]}` : problems.map((problem) => `\n- ${problem}`).join("");
    super("config", `Cannot use these settings${text}`, options);
    this.name = "ConfigError";
    this.problems = problems;
    Object.defineProperty(this, configBrand, { value: true });
  }

  /**
   * Whether `value` is such an error, of this or of another copy of the package.
   *
   * @param value Anything.
   * @returns Whether it is one.
   */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return branded(value, configBrand);
  }
}

/** One message of a batch that was not stored. */
export interface PublishFailure {
  /** The message's place in the batch, from 0. */
  readonly index: number;
  /** Why it was not stored. */
  readonly error: unknown;
}

/**
 * A batch of which some messages were not stored; the others were.
 *
 * @example
 * ```ts
 * import { PublishManyError } from "@abe/mq";
 *
 * const error = new PublishManyError(3, [{ index: 1, error: new Error("refused") }]);
 * console.assert(error.failures[0]?.index === 1);
 * ```
 */
export class PublishManyError extends MessageQueueError {
  /** The messages that were not stored. */
  readonly failures: readonly PublishFailure[];

  /**
   * Makes an error of what was not stored.
   *
   * @param total How many messages the batch had.
   * @param failures Which were not stored, and why.
   */
  constructor(total: number, failures: readonly PublishFailure[]) {
    const first = failures[0];
    super(
      "partial_publish",
      `Cannot publish ${failures.length} of ${total} messages; the first, at index ${first?.index}: ${
        describeError(first?.error)
      }`,
      {
        cause: first?.error,
        retryable: failures.length === total && failures.every((each) => isRetryable(each.error)),
      },
    );
    this.name = "PublishManyError";
    this.failures = failures;
    Object.defineProperty(this, manyBrand, { value: true });
  }

  /**
   * Whether `value` is such an error, of this or of another copy of the package.
   *
   * @param value Anything.
   * @returns Whether it is one.
   */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return branded(value, manyBrand);
  }
}

/**
 * Whether an error says that the same call may succeed a little later.
 *
 * @param error Anything that was thrown.
 * @returns Whether to try again.
 */
export function isRetryable(error: unknown): boolean {
  return error instanceof MessageQueueError && error.retryable;
}

/**
 * What was thrown, as one line of text: an error's message, or the value itself.
 *
 * @param error Anything that was thrown.
 * @returns A line for people.
 */
export function describeError(error: unknown): string {
  if (error instanceof Error) return error.message || error.name;
  return String(error);
}
