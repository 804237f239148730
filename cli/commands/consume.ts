/**
 * `mq consume`.
 *
 * @module
 */

import { buildCommand, type Command } from "@stricli/core";
import { type Cli, type CommonFlags, commonFlags } from "../context.ts";
import { parseCount, parseDuration } from "../values.ts";

/** The flags of `mq consume`. */
export interface ConsumeFlags extends CommonFlags {
  /** The group. */
  readonly group?: string | undefined;
  /** The filter. */
  readonly keys?: string | undefined;
  /** How many messages. */
  readonly count?: number | undefined;
  /** End after so many milliseconds without a message. */
  readonly timeout?: number | undefined;
  /** Whether to look without taking. */
  readonly peek: boolean;
  /** Whether to write payloads alone. */
  readonly payload: boolean;
}

/** `mq consume`. */
export const consume: Command<Cli> = buildCommand<ConsumeFlags, [], Cli>({
  loader: async () => {
    const { runConsume } = await import("./consume_run.ts");
    return runConsume;
  },
  parameters: {
    flags: {
      group: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "name",
        brief: "The group to consume for; without it, default",
      },
      keys: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "filter",
        brief: "Which keys a group made now gets: * is one word, # any number, as in order.#",
      },
      count: {
        kind: "parsed",
        parse: parseCount,
        optional: true,
        placeholder: "n",
        brief: "End after so many messages",
      },
      timeout: {
        kind: "parsed",
        parse: parseDuration,
        optional: true,
        placeholder: "duration",
        brief: "End when no message comes for so long, such as 500ms, 5s",
      },
      peek: {
        kind: "boolean",
        default: false,
        brief: "Show what waits (10 messages, or --count) and give it back; no attempt is counted",
      },
      payload: { kind: "boolean", default: false, brief: "Write the payloads alone" },
      ...commonFlags,
    },
    aliases: { g: "group", k: "keys", n: "count", t: "timeout", b: "backend" },
  },
  docs: {
    brief: "Consume messages, one in each line of output",
    fullDescription: [
      "Writes each message as one line of JSON, { id, key, payload, headers, attempt, publishedAt, group, orderingKey? }, and acks it",
      "once the line is written. Ends by SIGINT, when its reader goes away, by --count or by --timeout; what was not written goes back.",
      "",
      "  mq consume --group billing --keys 'order.*'",
      "  mq consume --count 100 --timeout 5s --payload > payloads.ndjson",
      "  mq consume --peek",
      "",
      "With --count, it exits with 5 when --timeout ends it before.",
    ].join("\n"),
  },
});
