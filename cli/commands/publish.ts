/**
 * `mq publish`.
 *
 * @module
 */

import { buildCommand, type Command } from "@stricli/core";
import { type Cli, type CommonFlags, commonFlags } from "../context.ts";
import { parseDuration, parseHeader } from "../values.ts";

/** The flags of `mq publish`. */
export interface PublishFlags extends CommonFlags {
  /** A file with the payload or, when its name ends so, with lines. */
  readonly file?: string | undefined;
  /** Whether each line is a message and not a payload. */
  readonly messages: boolean;
  /** Headers. */
  readonly header: readonly (readonly [name: string, value: string])[];
  /** The message's id. */
  readonly id?: string | undefined;
  /** Hold it back for so many milliseconds. */
  readonly delay?: number | undefined;
  /** What it is ordered by. */
  readonly orderingKey?: string | undefined;
  /** How long to go on trying while the broker is away, in milliseconds. */
  readonly timeout: number;
}

/** `mq publish`. */
export const publish: Command<Cli> = buildCommand<PublishFlags, [key?: string, payload?: string], Cli>({
  loader: async () => (await import("./publish_run.ts")).runPublish,
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [
        { placeholder: "key", brief: "The messages' key, such as order.created", parse: String, optional: true },
        { placeholder: "payload", brief: "The payload: a JSON object or array", parse: String, optional: true },
      ],
    },
    flags: {
      file: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "path",
        brief: "Read the payload from a file; one named .ndjson or .jsonl holds a payload in each line",
      },
      messages: {
        kind: "boolean",
        default: false,
        brief: "Each line is a message as `consume` writes it: { key, payload, headers?, id?, orderingKey?, delayMs? }",
      },
      header: {
        kind: "parsed",
        parse: parseHeader,
        variadic: true,
        default: [],
        placeholder: "name=value",
        brief: "A header; may be given several times",
      },
      id: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "id",
        brief: "The message's id: a second one within the backend's window is dropped",
      },
      delay: {
        kind: "parsed",
        parse: parseDuration,
        optional: true,
        placeholder: "duration",
        brief: "Hold it back, such as 500ms, 30s, 2h",
      },
      orderingKey: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "text",
        brief: "Messages that share it are handled in order",
      },
      timeout: {
        kind: "parsed",
        parse: parseDuration,
        default: "30s",
        placeholder: "duration",
        brief: "Give up when the broker is away for so long",
      },
      ...commonFlags,
    },
    aliases: { f: "file", t: "timeout", b: "backend" },
  },
  docs: {
    brief: "Publish messages",
    fullDescription: [
      "Publishes one message, its payload given as an argument or in a file, or many: a payload in each line of standard input.",
      "",
      "  mq publish order.created '{\"id\":1}'",
      "  mq publish order.created < orders.ndjson",
      "  mq consume --group copy | mq publish --messages --backend redis",
    ].join("\n"),
  },
});
