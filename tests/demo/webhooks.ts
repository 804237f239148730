/**
 * Real payloads: what GitHub sends to webhooks, as npm `@octokit/webhooks-examples` collects it.
 *
 * @module
 */

import { createRequire } from "node:module";

/** An event. */
export interface WebhookEvent {
  /** `github.EVENT.ACTION`, or `github.EVENT` for an event without actions. */
  readonly key: string;
  /** What GitHub sent. */
  readonly payload: Record<string, unknown>;
}

/** All of them, in the order of the collection. */
export function webhookEvents(): WebhookEvent[] {
  // Not by `import`: for that Deno looks at `node_modules` once, when it starts, and on a fresh machine the demo fetches it after that.
  const collection: { name: string; examples: Record<string, unknown>[] }[] = createRequire(import.meta.url)(
    "@octokit/webhooks-examples",
  );
  return collection.flatMap(({ name, examples }) =>
    examples.map((payload) => ({
      key: typeof payload.action === "string" ? `github.${name}.${payload.action}` : `github.${name}`,
      payload,
    }))
  );
}
