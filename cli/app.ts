/**
 * The commands and how the library that reads them speaks.
 *
 * @module
 */

import { type Application, type ApplicationText, buildApplication, buildRouteMap, text_en } from "@stricli/core";
import { backends } from "./commands/backends.ts";
import { completions } from "./commands/completions.ts";
import { consume } from "./commands/consume.ts";
import { dead } from "./commands/dead.ts";
import { doctor } from "./commands/doctor.ts";
import { groups } from "./commands/groups.ts";
import { create } from "./commands/new.ts";
import { plugins } from "./commands/plugins.ts";
import { publish } from "./commands/publish.ts";
import { stats } from "./commands/stats.ts";
import { verify } from "./commands/verify.ts";
import type { Cli } from "./context.ts";
import { errorText, exitCodeFor } from "./exit.ts";
import { styleOf } from "./style.ts";

/** The version, as in `deno.json`; a test holds the two together. */
export const version = "0.1.0";

function texts(debug: boolean): ApplicationText {
  const failed = (error: unknown, ansiColor: boolean) =>
    `${styleOf(ansiColor).red("error:")} ${errorText(error, debug)}`;
  return {
    ...text_en,
    exceptionWhileRunningCommand: failed,
    exceptionWhileLoadingCommandFunction: failed,
    exceptionWhileLoadingCommandContext: failed,
    commandErrorResult: failed,
    exceptionWhileParsingArguments: (error, ansiColor) => `${failed(error, ansiColor)}. See --help`,
    noCommandRegisteredForInput: ({ input, corrections, ansiColor }) => {
      const near = corrections.length === 0 ? "." : `; did you mean ${corrections.join(" or ")}?`;
      return `${styleOf(ansiColor).red("error:")} There is no command ${JSON.stringify(input)}${near} See --help`;
    },
  };
}

const root = buildRouteMap<string, Cli>({
  routes: { publish, consume, groups, stats, dead, plugins, backends, doctor, verify, new: create, completions },
  docs: {
    brief: "Message queues behind one protocol",
    fullDescription: [
      "Message queues behind one protocol: publish, consume, look after groups, dead letters and plugins.",
      "",
      "The backend is chosen as an application chooses it: by --backend, ABE_MQ_PLUGIN_URL, MESSAGE_QUEUE_BACKEND, or the",
      "plugin that is configured. Variables may be in a .env file in the working directory.",
      "",
      "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the backend cannot be found, loaded or configured, 4 the broker does",
      "not answer, 5 something that was checked is not as it should be, 130 interrupted.",
    ].join("\n"),
  },
});

/**
 * Builds the command line.
 *
 * @param debug Whether errors are shown with their stack.
 * @returns The application.
 */
export function createApp(debug: boolean): Application<Cli> {
  return buildApplication<Cli>(root, {
    name: "mq",
    versionInfo: { currentVersion: version },
    scanner: { caseStyle: "allow-kebab-for-camel", allowArgumentEscapeSequence: true },
    localization: { text: texts(debug) },
    determineExitCode: exitCodeFor,
  });
}
