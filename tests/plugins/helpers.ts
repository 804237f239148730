/** What the tests of `plugins/` share. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Env, envFrom } from "../../core/env.ts";
import { MessageQueueError, type MessageQueueErrorCode } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { type DiscoveryOptions, getMessageQueueBackend } from "../../plugins/open.ts";

export const timeout = 60_000;

export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
}

export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), "abe-mq-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface RecordingLogger extends Logger {
  readonly lines: { readonly level: string; readonly message: string }[];
}

export function recordingLogger(): RecordingLogger {
  const lines: { level: string; message: string }[] = [];
  const add = (level: string) => (message: string, ...details: unknown[]): void => {
    lines.push({ level, message: [message, ...details.map(String)].join(" ") });
  };
  return { lines, debug: add("debug"), info: add("info"), warn: add("warn"), error: add("error") };
}

/** Runs discovery in a folder of its own, so that nothing of this machine or repository is found. */
export async function discover(
  variables: Record<string, string> | Env,
  options: DiscoveryOptions & { readonly folder: string },
): Promise<Record<string, unknown>> {
  const { folder, ...rest } = options;
  const env = "get" in variables && typeof variables.get === "function"
    ? variables as Env
    : envFrom(variables as Record<string, string>);
  const backend = await getMessageQueueBackend({
    baseUrl: folder,
    cacheDir: join(folder, "cache"),
    logger: recordingLogger(),
    env,
    ...rest,
  });
  return backend as unknown as Record<string, unknown>;
}

/** Asserts that a promise rejects with a code and that its message says all of these. */
export async function rejects(
  promise: Promise<unknown>,
  code: MessageQueueErrorCode,
  ...says: readonly (string | RegExp)[]
): Promise<MessageQueueError> {
  let error: unknown;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  assert.ok(error !== undefined, `it must be refused with ${code}, and was not`);
  assert.ok(error instanceof MessageQueueError, `it must be a MessageQueueError: ${String(error)}`);
  assert.equal(error.code, code, error.message);
  for (const each of says) {
    if (typeof each === "string") {
      assert.ok(error.message.includes(each), `${JSON.stringify(error.message)} must say ${each}`);
    } else assert.match(error.message, each);
  }
  return error;
}
