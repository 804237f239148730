/**
 * `mq backends`.
 *
 * @module
 */

import { buildCommand, type Command } from "@stricli/core";
import { capabilityNames, capabilityTexts, readBackends } from "../capabilities.ts";
import { type Cli, discoveryOptions, outputFlags } from "../context.ts";
import { type Cell, table } from "../style.ts";

async function runBackends(this: Cli, flags: { readonly json: boolean; readonly debug: boolean }): Promise<void> {
  const backends = await readBackends(discoveryOptions(this, flags));
  if (flags.json) return this.printJson(this.redactJson(backends));
  const { style } = this;
  const able = backends.filter((each) => each.capabilities !== undefined);
  const rows = capabilityNames().map((name): Cell[] => [
    name,
    ...able.map(({ capabilities }): Cell =>
      capabilities?.[name] ? { text: "yes", style: style.green } : { text: "-", style: style.dim }
    ),
    capabilityTexts[name],
  ]);
  this.print(table(["capability", ...able.map((each) => each.name), ""], rows, style));
  for (const { name, error } of backends) if (error !== undefined) this.print(`${style.red(name)}: ${error}`);
}

/** `mq backends`. */
export const backends: Command<Cli> = buildCommand<{ readonly json: boolean; readonly debug: boolean }, [], Cli>({
  func: runBackends,
  parameters: { flags: outputFlags },
  docs: { brief: "Show what each backend guarantees" },
});
