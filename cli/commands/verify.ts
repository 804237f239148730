/**
 * `mq verify`.
 *
 * @module
 */

import { buildCommand, type Command } from "@stricli/core";
import { type Cli, outputFlags } from "../context.ts";

/** The flags of `mq verify`. */
export interface VerifyFlags {
  /** Only cases whose name holds this. */
  readonly only?: string | undefined;
  /** Whether to write JSON. */
  readonly json: boolean;
  /** Whether to show debug lines. */
  readonly debug: boolean;
}

/** `mq verify`. */
export const verify: Command<Cli> = buildCommand<VerifyFlags, [target?: string], Cli>({
  loader: async () => (await import("./verify_run.ts")).runVerify,
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{
        placeholder: "name|url",
        brief: "The backend; without it, what the variables say",
        parse: String,
        optional: true,
      }],
    },
    flags: {
      only: {
        kind: "parsed",
        parse: String,
        optional: true,
        placeholder: "text",
        brief: "Run only the cases whose name holds this",
      },
      ...outputFlags,
    },
  },
  docs: {
    brief: "Run the conformance kit on a backend; exits with 5 when it fails",
    fullDescription:
      "Runs the conformance kit: every promise that the backend declares is tried, and that it refuses the rest. " +
      "Each case has an exchange of its own (MESSAGE_QUEUE_EXCHANGE=kit-...), so a broker in use is not disturbed, but some of what " +
      "the cases stored stays in it. The built-in sqlite is tried on a temporary file unless a variable names one.",
  },
});
