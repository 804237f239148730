/**
 * Errors of Redis and of its client, as errors of the queue.
 *
 * @module
 */

import { ConfigError, describeError, MessageQueueError } from "../../core/errors.ts";

/** Replies that pass by themselves: a restart, a failover, a slot on its way to another node. */
const passing = new Set([
  "LOADING",
  "READONLY",
  "CLUSTERDOWN",
  "TRYAGAIN",
  "MASTERDOWN",
  "MOVED",
  "ASK",
  "BUSY",
  "UNBLOCKED",
  "NOREPLICAS",
  "NOTREADY",
]);

const refusedLogin = new Set(["NOAUTH", "WRONGPASS", "NOPERM", "DENIED"]);

// Text of errors that the client makes for a lost connection, beside the errors of sockets, which have a `code`.
const lost = /socket|closed|connection|disconnect|offline|timeout|queue is full/i;

/** What is known of a failed command, for the text of its error. */
export interface Failed {
  /** What was tried: `publish`, `settle`, ... */
  readonly action: string;
  /** The key that was touched first, or the server's address. */
  readonly at?: string | undefined;
}

/**
 * The first word of an error reply: `WRONGTYPE`, `OOM`, ...
 *
 * @param error What was thrown.
 * @returns The word; empty when it was no error reply.
 */
export function replyCode(error: unknown): string {
  const text = describeError(error);
  const word = /^-?([A-Z]{2,})\b/.exec(text)?.[1];
  // Redis 7 wraps what a command in a script answered: "WRONGTYPE ... script: 3f.., on @user_script:1."; older texts put it behind "ERR".
  if (word !== undefined && word !== "ERR") return word;
  return /\b(OOM|WRONGTYPE|READONLY|MISCONF|NOPERM|NOGROUP)\b/.exec(text)?.[1] ?? word ?? "";
}

/**
 * Makes an error of the queue of what a command or connection threw.
 *
 * @param error What was thrown.
 * @param failed What was tried.
 * @returns The error: `connection` and retryable for what passes, `config` for a refused login, `not_found` for a group that is gone,
 *   `storage` for the rest.
 */
export function mapError(error: unknown, { action, at }: Failed): MessageQueueError {
  if (error instanceof MessageQueueError) return error;
  const code = replyCode(error);
  const where = at === undefined ? "" : ` (${at})`;
  const what = action === "connect" ? `Cannot connect to Redis${where}` : `Cannot ${action} on Redis${where}`;
  const options = { cause: error };
  if (passing.has(code)) {
    return new MessageQueueError("connection", `${what}: it answers ${code}`, {
      ...options,
      retryable: true,
    });
  }
  if (refusedLogin.has(code)) return new ConfigError([refusedText(code, action, error)], options);
  switch (code) {
    case "OOM":
      return new MessageQueueError(
        "storage",
        `${what}: it has reached its maxmemory; give it more, or let consumers catch up`,
        options,
      );
    case "MISCONF":
      return new MessageQueueError(
        "storage",
        `${what}: it cannot write to its disk and refuses writes (MISCONF)`,
        options,
      );
    case "WRONGTYPE":
      return new MessageQueueError(
        "storage",
        `${what}: a key of this exchange holds a value of another program; ` +
          "use another MESSAGE_QUEUE_EXCHANGE or database, or remove the key",
        options,
      );
    case "NOGROUP":
      return new MessageQueueError("not_found", `${what}: the group was removed`, options);
    case "ERR":
      // What a script answers about its user names neither the command nor the key.
      if (/user executing the script can't|without any password configured/.test(describeError(error))) {
        return new ConfigError([refusedText(code, action, error)], options);
      }
      break;
    case "":
      if (isUntrusted(error)) {
        return new ConfigError([
          `The certificate of the server${where} is not trusted: ${
            describeError(error)
          }; name its authority by REDIS_TLS_CA`,
        ], options);
      }
      if (isLost(error)) {
        return new MessageQueueError("connection", `${what}: ${describeError(error)}`, {
          ...options,
          retryable: true,
        });
      }
  }
  return new MessageQueueError("storage", `${what}: ${describeError(error)}`, options);
}

function refusedText(code: string, action: string, error: unknown): string {
  if (code === "NOAUTH") {
    return "Redis wants a password: give MESSAGE_QUEUE_USERNAME and MESSAGE_QUEUE_PASSWORD, or put them into the URL";
  }
  if (code === "WRONGPASS") {
    return "Redis refuses the user name or password (MESSAGE_QUEUE_USERNAME, MESSAGE_QUEUE_PASSWORD, or those of the URL)";
  }
  if (code === "DENIED") {
    return "Redis runs in protected mode and takes connections of its own machine alone: give it a password";
  }
  return `Redis does not let this user ${action}: ${
    describeError(error)
  }; docs/redis.md lists the commands and keys it needs`;
}

// Codes of OpenSSL's X509_V_ERR_* and of Node's check of names, which Deno and Bun have too.
function isUntrusted(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === "string" && /CERT|UNABLE_TO_VERIFY/.test(code);
}

function isLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  return typeof code === "string" || lost.test(error.constructor.name) || lost.test(error.message) ||
    error.message === "";
}
