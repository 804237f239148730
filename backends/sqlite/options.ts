/**
 * The settings of the SQLite backend: options, environment variables, and their checks.
 *
 * @module
 */

import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Env } from "../../core/env.ts";
import { ConfigError } from "../../core/errors.ts";
import { checkName } from "../../core/keys.ts";
import type { Logger } from "../../core/logger.ts";
import { loggerFromEnv, silentLogger } from "../../core/logger.ts";

/**
 * How a {@linkcode SqliteBackend} is set up.
 *
 * | option | variable | default |
 * | --- | --- | --- |
 * | `path` | `MESSAGE_QUEUE_URL` (`file:./events.db`) or `MESSAGE_QUEUE_PATH` (`./events.db`) | `./abe-mq.db` |
 * | `exchange` | `MESSAGE_QUEUE_EXCHANGE` | `application_events` |
 * | `maxLength` | `MESSAGE_QUEUE_MAX_LENGTH` | no limit |
 * | `maxAgeMs` | `MESSAGE_QUEUE_MAX_AGE_MS` | no limit |
 * | `dedupWindowMs` | `MESSAGE_QUEUE_DEDUP_WINDOW_MS` | `300000` |
 * | `synchronous` | `MESSAGE_QUEUE_SYNCHRONOUS` | `FULL` |
 */
export interface SqliteOptions {
  /**
   * The file; made when there is none, in a folder that exists.
   *
   * @default {"./abe-mq.db"}
   */
  readonly path?: string;
  /**
   * The namespace of messages and groups in the file.
   *
   * @default {"application_events"}
   */
  readonly exchange?: string;
  /** With so many messages stored and not acked by all groups, `publish` rejects with `full`. Absent means no limit. */
  readonly maxLength?: number;
  /** What is older, in milliseconds, goes to the group's dead letters when it is claimed. Absent means no limit. */
  readonly maxAgeMs?: number;
  /**
   * For how long, in milliseconds, a second message with an application's `id` is dropped.
   *
   * @default {300_000}
   */
  readonly dedupWindowMs?: number;
  /**
   * When a commit reaches the disk: `FULL` before `publish` resolves, so that a power cut loses nothing; `NORMAL` a little
   * later, so that a power cut (not the death of a process) may lose the last moments.
   *
   * @default {"FULL"}
   */
  readonly synchronous?: "FULL" | "NORMAL";
  /**
   * How long a call waits, in milliseconds, while another process holds the file's lock, before it rejects with `connection`
   * (which the queue tries again).
   *
   * @default {5_000}
   */
  readonly lockTimeoutMs?: number;
  /**
   * Where it writes what happens.
   *
   * @default {silentLogger}
   */
  readonly logger?: Logger;
  /**
   * The clock, in milliseconds since 1970.
   *
   * @default {Date.now}
   */
  readonly now?: () => number;
}

/** Checked options with every default filled in. */
export interface Settings {
  readonly path: string;
  readonly exchange: string;
  readonly maxLength: number | undefined;
  readonly maxAgeMs: number | undefined;
  readonly dedupWindowMs: number;
  readonly synchronous: "FULL" | "NORMAL";
  readonly lockTimeoutMs: number;
  readonly logger: Logger;
  readonly now: () => number;
}

function whole(min: number, what = "a whole number"): z.ZodNumber {
  const error = `must be ${what}, at least ${min}`;
  return z.number({ error }).int({ error }).min(min, { error }).max(Number.MAX_SAFE_INTEGER, { error });
}

const name = z.string().superRefine((value, context) => {
  try {
    checkName("exchange", value);
  } catch (error) {
    context.addIssue({ code: "custom", message: `is no name: ${(error as Error).message}` });
  }
});

/** What holds for each option; `docs/configuration.md` is made from it. */
export const schema = z.object({
  path: z.string({ error: "must be the path of a file" }).min(1, { error: "must be the path of a file" })
    .refine((path) => !path.startsWith(":") && !path.includes("\0"), {
      error: "must be the path of a file; for a queue in memory use the memory backend",
    })
    .default("./abe-mq.db"),
  exchange: name.default("application_events"),
  maxLength: whole(1).optional(),
  maxAgeMs: whole(1, "a whole number of milliseconds").optional(),
  dedupWindowMs: whole(1, "a whole number of milliseconds").default(300_000),
  synchronous: z.enum(["FULL", "NORMAL"], { error: "must be FULL or NORMAL" }).default("FULL"),
  lockTimeoutMs: whole(0, "a whole number of milliseconds").default(5_000),
});

/** The variable behind each option. */
export const variables: Readonly<Record<string, string>> = {
  path: "MESSAGE_QUEUE_PATH",
  exchange: "MESSAGE_QUEUE_EXCHANGE",
  maxLength: "MESSAGE_QUEUE_MAX_LENGTH",
  maxAgeMs: "MESSAGE_QUEUE_MAX_AGE_MS",
  dedupWindowMs: "MESSAGE_QUEUE_DEDUP_WINDOW_MS",
  synchronous: "MESSAGE_QUEUE_SYNCHRONOUS",
};

function check(options: object, nameOf: (option: string) => string): { settings?: Settings; problems: string[] } {
  const { logger = silentLogger, now = Date.now, ...rest } = options as SqliteOptions;
  // An option given as `undefined` is an option not given.
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  const result = schema.safeParse(given);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${nameOf(String(issue.path[0]))} ${issue.message}`);
    return { problems };
  }
  const { path, maxLength, maxAgeMs, ...others } = result.data;
  return { problems: [], settings: { ...others, maxLength, maxAgeMs, path: resolve(path), logger, now } };
}

/**
 * Checks options.
 *
 * @param options What was given.
 * @returns The settings.
 * @throws {ConfigError} Naming every option that is wrong.
 */
export function settingsFrom(options: SqliteOptions): Settings {
  const { settings, problems } = check(options, (option) => option);
  if (settings === undefined) throw new ConfigError(problems);
  return settings;
}

/**
 * Reads settings from the environment.
 *
 * @param env Where the variables are read, one by one.
 * @returns The options.
 * @throws {ConfigError} Naming every variable that is wrong.
 */
export function optionsFromEnv(env: Env): SqliteOptions {
  const problems: string[] = [];
  const read = (variable: string): string | undefined => {
    try {
      return env.get(variable);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  };
  const raw: Record<string, unknown> = {};
  for (const [option, variable] of Object.entries(variables)) {
    const text = read(variable);
    if (text === undefined) continue;
    if (option === "synchronous") raw[option] = text.toUpperCase();
    else raw[option] = /^(maxLength|.*Ms)$/.test(option) && /^\d+$/.test(text) ? Number(text) : text;
  }
  const url = read("MESSAGE_QUEUE_URL");
  if (url !== undefined) {
    if (raw.path !== undefined) problems.push("MESSAGE_QUEUE_URL and MESSAGE_QUEUE_PATH are both set: keep one");
    const path = pathFromUrl(url);
    // The value is not repeated: a URL meant for another backend may hold a password.
    if (path === undefined) problems.push("MESSAGE_QUEUE_URL must be a file URL, as in file:./events.db");
    else raw.path = path;
  }
  const pathVariable = url === undefined ? "MESSAGE_QUEUE_PATH" : "MESSAGE_QUEUE_URL";
  const checked = check(raw, (option) => option === "path" ? pathVariable : variables[option] ?? option);
  problems.push(...checked.problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return { ...(raw as SqliteOptions), logger: loggerFromEnv(env, "backend") };
}

/** The path in a URL such as `file:./events.db`, `file:events.db`, `file:///tmp/events.db`; `undefined` when it is none. */
export function pathFromUrl(url: string): string | undefined {
  const match = /^file:([^?#]+)$/i.exec(url);
  const rest = match?.[1];
  if (rest === undefined) return undefined;
  try {
    // A relative file URL is not in the standard, but it is what people write: it is resolved against the working directory.
    return rest.startsWith("//") ? fileURLToPath(url) : decodeURIComponent(rest);
  } catch {
    return undefined;
  }
}
