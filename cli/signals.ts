/**
 * Ending by SIGINT and SIGTERM.
 *
 * @module
 */

import process from "node:process";
import { exitCodes } from "./exit.ts";

/** An interruption that a command can wait for. */
export interface Interruption extends Disposable {
  /** Aborted at the first SIGINT or SIGTERM. The second ends the process at once. */
  readonly signal: AbortSignal;
}

/**
 * Takes SIGINT and SIGTERM until disposed.
 *
 * @returns The interruption.
 */
export function interruption(): Interruption {
  const controller = new AbortController();
  const names = ["SIGINT", "SIGTERM"] as const;
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    controller.abort(new DOMException("Interrupted", "AbortError"));
  };
  for (const name of names) process.on(name, onSignal);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
}
