/**
 * Options of the Redis backend, and the environment variables they come from.
 *
 * @module
 */

import { z } from "zod";
import type { Env } from "../../core/env.ts";
import { ConfigError } from "../../core/errors.ts";
import { control } from "../../core/keys.ts";
import { maxTimerMs } from "../../core/check.ts";

/** Certificates for `rediss:`. All texts are PEM. */
export interface RedisTlsOptions {
  /** The authority that signed the server's certificate; absent means those of the system. */
  readonly ca?: string;
  /** The client's certificate. */
  readonly cert?: string;
  /** The client's key. */
  readonly key?: string;
  /** The name that the server's certificate must have; absent means the host of the URL. */
  readonly servername?: string;
}

/** How to reach Redis, and how an exchange is kept there. */
export interface RedisBackendOptions {
  /**
   * `redis://user:password@host:port/database`, `rediss:` for TLS. Several, joined by commas, are nodes of a cluster, or with
   * `sentinelMaster` sentinels.
   *
   * @default {"redis://127.0.0.1:6379"}
   */
  readonly url?: string;
  /** The name of the ACL user, where the URL has none. */
  readonly username?: string;
  /** The password, where the URL has none. */
  readonly password?: string;
  /**
   * The number of the database, where the URL has none.
   *
   * @default {0}
   */
  readonly database?: number;
  /**
   * The name of a master that the sentinels at `url` watch. A login in `url` is then the sentinels', and the master's too unless
   * `username` and `password` are given.
   */
  readonly sentinelMaster?: string;
  /** Certificates for `rediss:`. */
  readonly tls?: RedisTlsOptions;
  /**
   * The namespace of all keys.
   *
   * @default {"application_events"}
   */
  readonly exchange?: string;
  /**
   * Over how many streams the exchange is spread, by key. Every program of an exchange must use the same number.
   *
   * @default {1}
   */
  readonly partitions?: number;
  /** At most so many messages are stored, delayed and retried ones included; with partitions, an equal share in each. */
  readonly maxLength?: number;
  /** What is older, in milliseconds, goes to the dead letters. */
  readonly maxAgeMs?: number;
  /**
   * For how long, in milliseconds, a second message with an application's id is dropped.
   *
   * @default {300_000}
   */
  readonly dedupWindowMs?: number;
  /**
   * How many replicas must have a message before its publish resolves (WAIT).
   *
   * @default {0}
   */
  readonly minReplicas?: number;
  /**
   * How long, in milliseconds, a connection may take to open, and a server to answer before the connection counts as lost.
   *
   * @default {5_000}
   */
  readonly timeoutMs?: number;
}

/** Options, complete. */
export interface RedisSettings {
  readonly urls: readonly RedisUrl[];
  readonly sentinel: SentinelSettings | undefined;
  readonly tls: RedisTlsOptions;
  readonly exchange: string;
  readonly partitions: number;
  readonly maxLength: number;
  readonly maxAgeMs: number;
  readonly dedupWindowMs: number;
  readonly minReplicas: number;
  readonly timeoutMs: number;
}

/** Which master to ask sentinels for, and how to log in there, where that is another login than theirs. */
export interface SentinelSettings {
  readonly master: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

/** One server's URL, taken apart. */
export interface RedisUrl {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

const count = (max: number) => z.coerce.number().int().min(1).max(max);

/** What holds for each option; `docs/configuration.md` is made from it. */
export const schema = z.object({
  url: z.string().min(1).default("redis://127.0.0.1:6379"),
  username: z.string().optional(),
  password: z.string().optional(),
  database: z.coerce.number().int().min(0).max(65_535).optional(),
  sentinelMaster: z.string().min(1).optional(),
  tls: z.object({
    ca: z.string().optional(),
    cert: z.string().optional(),
    key: z.string().optional(),
    servername: z.string().optional(),
  }).default({}),
  exchange: z.string().min(1).max(255).refine((name) => !control.test(name), "must not hold control characters")
    .default("application_events"),
  partitions: count(1024).default(1),
  maxLength: count(Number.MAX_SAFE_INTEGER).optional(),
  maxAgeMs: count(Number.MAX_SAFE_INTEGER).optional(),
  dedupWindowMs: count(Number.MAX_SAFE_INTEGER).default(300_000),
  minReplicas: z.coerce.number().int().min(0).max(100).default(0),
  timeoutMs: count(maxTimerMs).default(5_000),
});

/** Options by the variable they come from. */
export const variables: Readonly<Record<string, readonly string[]>> = {
  url: ["MESSAGE_QUEUE_URL", "REDIS_URL"],
  username: ["MESSAGE_QUEUE_USERNAME"],
  password: ["MESSAGE_QUEUE_PASSWORD"],
  database: ["MESSAGE_QUEUE_VHOST"],
  sentinelMaster: ["REDIS_SENTINEL_MASTER"],
  exchange: ["MESSAGE_QUEUE_EXCHANGE"],
  partitions: ["MESSAGE_QUEUE_PARTITIONS"],
  maxLength: ["MESSAGE_QUEUE_MAX_LENGTH"],
  maxAgeMs: ["MESSAGE_QUEUE_MAX_AGE_MS"],
  dedupWindowMs: ["MESSAGE_QUEUE_DEDUP_WINDOW_MS"],
  minReplicas: ["REDIS_MIN_REPLICAS"],
  timeoutMs: ["REDIS_TIMEOUT_MS"],
};

/** The options of `tls` by the variable they come from. */
export const tlsVariables = {
  ca: "REDIS_TLS_CA",
  cert: "REDIS_TLS_CERT",
  key: "REDIS_TLS_KEY",
  servername: "REDIS_TLS_SERVERNAME",
} as const;

/**
 * Checks options.
 *
 * @param options Options.
 * @returns Them, complete.
 * @throws {ConfigError} With every problem.
 */
export function checkOptions(options: RedisBackendOptions): RedisSettings {
  return parse(options, (name) => name);
}

/**
 * Reads options from environment variables.
 *
 * @param env Where.
 * @returns Options, checked.
 * @throws {ConfigError} With every problem.
 */
export function optionsFromEnv(env: Env): RedisBackendOptions {
  const problems: string[] = [];
  const read = (name: string, optional = false): string | undefined => {
    try {
      return optional ? env.getOptional(name) : env.get(name);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  };
  const raw: Record<string, unknown> = {};
  const from: Record<string, string> = {};
  for (const [option, names] of Object.entries(variables)) {
    for (const [index, name] of names.entries()) {
      // The first name is this package's; what follows are names it accepts too. What few need must not ask for a permission.
      const value = read(name, index > 0 || name.startsWith("REDIS_") || optionalNames.has(name));
      if (value === undefined || raw[option] !== undefined) continue;
      raw[option] = value;
      from[option] = name;
    }
  }
  const host = read("MESSAGE_QUEUE_HOST");
  const port = read("MESSAGE_QUEUE_PORT");
  if (raw.url === undefined && (host !== undefined || port !== undefined)) {
    if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
      problems.push(`MESSAGE_QUEUE_PORT must be a whole number from 1 to 65535, got ${JSON.stringify(port)}`);
    } else {
      const name = host ?? "127.0.0.1";
      raw.url = `redis://${name.includes(":") && !name.startsWith("[") ? `[${name}]` : name}:${port ?? "6379"}`;
      from.url = host === undefined ? "MESSAGE_QUEUE_PORT" : "MESSAGE_QUEUE_HOST";
    }
  }
  // RabbitMQ's default virtual host is `/`; here it means none in particular.
  if (typeof raw.database === "string") raw.database = raw.database.replace(/^\//, "") || undefined;
  const tls: Record<string, string> = {};
  for (const [option, name] of Object.entries(tlsVariables)) {
    const value = read(name, true);
    if (value !== undefined) tls[option] = value;
  }
  raw.tls = tls;
  try {
    parse(raw, (option) => from[option] ?? variables[option]?.[0] ?? option);
    // Numbers are still text here; the schema takes both.
    if (problems.length === 0) return raw as RedisBackendOptions;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
  throw new ConfigError(problems);
}

const optionalNames = new Set([
  "MESSAGE_QUEUE_PARTITIONS",
  "MESSAGE_QUEUE_MAX_LENGTH",
  "MESSAGE_QUEUE_MAX_AGE_MS",
  "MESSAGE_QUEUE_DEDUP_WINDOW_MS",
]);

function parse(raw: unknown, nameOf: (option: string) => string): RedisSettings {
  const problems: string[] = [];
  const result = schema.safeParse(raw);
  if (!result.success) {
    for (const issue of result.error.issues) {
      problems.push(`${nameOf(String(issue.path[0] ?? "options"))}: ${issue.message}`);
    }
    // The URL is looked at even when something else is wrong, so that all is said at once.
    const url = (raw as { url?: unknown } | null)?.url;
    if (typeof url === "string") parseUrls(url, nameOf("url"), problems, {});
    throw new ConfigError(problems);
  }
  const { url, username, password, database, sentinelMaster, tls, ...rest } = result.data;
  // Sentinels have logins and no databases of their own.
  const sentinel = sentinelMaster === undefined ? undefined : { master: sentinelMaster, username, password };
  const urls = parseUrls(url, nameOf("url"), problems, sentinel === undefined ? { username, password, database } : {});
  if (urls.length > 1 && sentinel === undefined && urls.some((each) => each.database !== 0)) {
    problems.push(`${nameOf("database")}: a Redis Cluster has database 0 alone`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    ...rest,
    urls: sentinel === undefined ? urls : urls.map((each) => ({ ...each, database: 0 })),
    sentinel: sentinel && { ...sentinel, database: database ?? urls[0]?.database ?? 0 },
    tls: Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined)) as RedisTlsOptions,
    maxLength: rest.maxLength ?? 0,
    maxAgeMs: rest.maxAgeMs ?? 0,
  };
}

interface Defaults {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly database?: number | undefined;
}

// Never quotes a URL: it may hold a password, and one that is no URL may be a password.
function parseUrls(text: string, name: string, problems: string[], defaults: Defaults): RedisUrl[] {
  const urls: RedisUrl[] = [];
  for (const [index, part] of text.split(",").entries()) {
    const which = text.includes(",") ? `${name} (number ${index + 1})` : name;
    let url: URL;
    try {
      url = new URL(part.trim());
    } catch {
      problems.push(`${which} is no URL: it must look like redis://host:6379`);
      continue;
    }
    if (url.protocol !== "redis:" && url.protocol !== "rediss:") {
      problems.push(`${which} must begin with redis:// or rediss://, not ${url.protocol}//`);
      continue;
    }
    const path = url.pathname.replace(/^\//, "");
    if (path !== "" && !/^\d{1,5}$/.test(path)) {
      problems.push(`${which}: what follows the host must be the number of a database`);
      continue;
    }
    let username: string;
    let password: string;
    try {
      username = decodeURIComponent(url.username);
      password = decodeURIComponent(url.password);
    } catch {
      problems.push(`${which}: write a % in the user name or password as %25`);
      continue;
    }
    urls.push({
      host: url.hostname.replace(/^\[|\]$/g, "") || "127.0.0.1",
      port: Number(url.port || "6379"),
      tls: url.protocol === "rediss:",
      username: username || defaults.username,
      password: password || defaults.password,
      database: path === "" ? defaults.database ?? 0 : Number(path),
    });
  }
  return urls;
}
