/**
 * The `publish` of a backend that has `publishMany`: one line in its class.
 *
 * @module
 */

import type { DurableBackend } from "./backend.ts";
import type { Payload } from "./codec.ts";
import { createMessage, type PublishOptions } from "./message.ts";

/**
 * Checks and encodes one message and hands it to the backend's `publishMany`.
 *
 * @param backend The backend.
 * @param key Words joined by dots.
 * @param payload An object or an array.
 * @param options How to publish it.
 * @throws What `createMessage` and the backend throw.
 */
export async function publishOne(
  backend: Pick<DurableBackend, "publishMany">,
  key: string,
  payload: Payload,
  options: PublishOptions = {},
): Promise<void> {
  const { signal } = options;
  signal?.throwIfAborted();
  await backend.publishMany([createMessage(key, payload, options)], signal && { signal });
}
