/**
 * Encryption as a middleware: what the broker stores is AES-GCM ciphertext, and the header `key-id` says by which key. A key is rotated by
 * adding a new one and making it current; messages that were written with the old one are read as long as it is there.
 *
 * ```sh
 * deno run -A examples/encryption.ts
 * ```
 *
 * @module
 */

import { MessageQueue, MessageQueueError, type Middleware } from "@abe/mq";
import { MemoryBackend } from "@abe/mq/memory";

/** The keys of an application; in a real one they come from where secrets are kept. */
export interface Keyring {
  /** The id of the key that is used to encrypt. */
  readonly current: string;
  /** All keys that are known, by id. */
  readonly keys: ReadonlyMap<string, CryptoKey>;
}

const ivBytes = 12;

/**
 * Encrypts bodies on their way out and decrypts them on their way in. The key and content type of the message are authenticated with it, so that a
 * ciphertext cannot be passed off under another key. Headers are not encrypted.
 *
 * @param keyring Asked for each message, so that a key can be rotated while the queue runs.
 * @returns The middleware.
 */
export function encryption(keyring: () => Keyring): Middleware {
  return async (context, next) => {
    const { headers } = context;
    if (context.operation === "publish") {
      const { current, keys } = keyring();
      const key = keys.get(current);
      if (key === undefined) throw new Error(`Cannot encrypt: there is no key "${current}"`);
      const iv = crypto.getRandomValues(new Uint8Array(ivBytes));
      const plain = typeof context.body === "string" ? new TextEncoder().encode(context.body) : context.body;
      const bound = JSON.stringify([context.key, context.contentType]);
      const additionalData = new TextEncoder().encode(bound);
      const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, key, new Uint8Array(plain));
      headers["key-id"] = current;
      headers["sealed-as"] = bound;
      context.body = new Uint8Array([...iv, ...new Uint8Array(sealed)]);
      context.contentType = "application/octet-stream";
    } else {
      const keyId = headers["key-id"];
      const bound = headers["sealed-as"];
      if (keyId === undefined || bound === undefined || typeof context.body === "string") {
        throw new MessageQueueError("undecodable", "Cannot decrypt: the message is not encrypted");
      }
      const key = keyring().keys.get(keyId);
      // Not for the dead letters at once: another attempt may find the key, when it is on its way to this process.
      if (key === undefined) throw new Error(`Cannot decrypt: there is no key "${keyId}"`);
      context.body = await open(key, context.body, bound);
      const [sealedKey, contentType] = JSON.parse(bound);
      // A backend of three methods keeps no keys.
      if (context.key !== "" && context.key !== sealedKey) {
        throw new MessageQueueError(
          "undecodable",
          `Cannot decrypt: it was published under another key than ${context.key}`,
        );
      }
      context.contentType = contentType;
      delete headers["key-id"];
      delete headers["sealed-as"];
    }
    await next();
  };
}

async function open(key: CryptoKey, sealed: Uint8Array, bound: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(sealed);
  const additionalData = new TextEncoder().encode(bound);
  try {
    const iv = bytes.subarray(0, ivBytes);
    return new Uint8Array(
      await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData }, key, bytes.subarray(ivBytes)),
    );
  } catch (error) {
    throw new MessageQueueError("undecodable", "Cannot decrypt: the message was changed, or is by another key", {
      cause: error,
    });
  }
}

/** Makes a key. */
export async function makeKey(): Promise<CryptoKey> {
  return await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

if (import.meta.main) {
  const keys = new Map([["2026-01", await makeKey()]]);
  let current = "2026-01";
  await using mq = new MessageQueue(new MemoryBackend());
  mq.use(encryption(() => ({ current, keys })));

  await mq.publish("patient.admitted", { name: "Ada" });
  // The rotation: from now on by another key; what is under way is read by the old one.
  keys.set("2026-02", await makeKey());
  current = "2026-02";
  await mq.publish("patient.admitted", { name: "Grace" });

  let count = 0;
  for await (const delivery of mq.receive()) {
    console.log(delivery.key, delivery.payload);
    await delivery.ack();
    if (++count === 2) break;
  }
}
