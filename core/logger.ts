/**
 * Logging through four methods that an application can replace.
 *
 * @module
 */

import { type Env, isOn } from "./env.ts";

/**
 * Where the queue and its backends write what happens. The console, `pino`, LogTape and others fit.
 *
 * Never given a payload or a secret.
 */
export interface Logger {
  /** What a developer follows while looking for a fault. */
  debug(message: string, ...details: unknown[]): void;
  /** What an operator may want to know. */
  info(message: string, ...details: unknown[]): void;
  /** What should be mended, though the program goes on. */
  warn(message: string, ...details: unknown[]): void;
  /** What failed. */
  error(message: string, ...details: unknown[]): void;
}

function ignore(): void {}

/** Says nothing. */
export const silentLogger: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/**
 * Writes warnings and errors to standard error, and debug and info lines too when asked.
 *
 * @param debug Whether to write debug and info lines.
 * @returns The logger.
 */
export function consoleLogger(debug: boolean): Logger {
  // `console.info` and `console.debug` write to standard output on some runtimes, where a program's own output belongs.
  const line = (level: string) => (message: string, ...details: unknown[]) =>
    console.error(`[abe-mq] ${level}: ${message}`, ...details);
  return {
    debug: debug ? line("debug") : ignore,
    info: debug ? line("info") : ignore,
    warn: line("warning"),
    error: line("error"),
  };
}

/**
 * The logger of a part of the system, by the debug variables.
 *
 * `ABSTRACT_BACKEND_DEBUG` turns on debug lines everywhere, `MESSAGE_QUEUE_BACKEND_DEBUG` those of the backend. Either is on when
 * it is `1`, `true`, `yes` or `on`.
 *
 * @param env Where the variables are read.
 * @param part `backend` for what a backend logs, `queue` for the rest.
 * @returns The logger.
 */
export function loggerFromEnv(env: Env, part: "backend" | "queue"): Logger {
  const on = (name: string) => isOn(env.getOptional(name));
  return consoleLogger(on("ABSTRACT_BACKEND_DEBUG") || (part === "backend" && on("MESSAGE_QUEUE_BACKEND_DEBUG")));
}
