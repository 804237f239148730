/**
 * Real payloads: what GitHub sends to webhooks, as npm `@octokit/webhooks-examples` collects it.
 *
 * @module
 */

/** An event. */
export interface WebhookEvent {
  /** `github.EVENT.ACTION`, or `github.EVENT` for an event without actions. */
  readonly key: string;
  /** What GitHub sent. */
  readonly payload: Record<string, unknown>;
}

/** All of them, in the order of the collection. */
export async function webhookEvents(): Promise<WebhookEvent[]> {
  const { default: events } = await import("@octokit/webhooks-examples", { with: { type: "json" } });
  const collection = events as unknown as { name: string; examples: Record<string, unknown>[] }[];
  return collection.flatMap(({ name, examples }) =>
    examples.map((payload) => ({
      key: typeof payload.action === "string" ? `github.${name}.${payload.action}` : `github.${name}`,
      payload,
    }))
  );
}
