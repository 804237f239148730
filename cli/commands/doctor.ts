/**
 * `mq doctor`.
 *
 * @module
 */

import type { Finding } from "@abe/mq";
import { buildCommand, type Command } from "@stricli/core";
import { type Cli, type CommonFlags, commonFlags, discoveryOptions } from "../context.ts";
import { examineConnection, examineGroups, examineSettings } from "../doctor/broker.ts";
import { examineDiscovery } from "../doctor/discovery.ts";
import type { Section } from "../doctor/finding.ts";
import { examineRuntime } from "../doctor/runtime.ts";
import { examineVariables } from "../doctor/variables.ts";
import { exitCodes } from "../exit.ts";
import { plural, type Style } from "../style.ts";

async function runDoctor(this: Cli, flags: CommonFlags): Promise<void> {
  const sections: Section[] = [];
  const show = (section: Section) => {
    sections.push(section);
    if (!flags.json) this.print(describe(section, this.style));
  };
  show(examineRuntime());
  show(examineVariables(this.fromDotEnv));
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const options = discoveryOptions(this, flags);
  // What discovery would warn of is among the findings.
  const { section, backend } = await examineDiscovery(flags.debug ? options : { ...options, logger: quiet });
  show(section);
  if (backend !== undefined) {
    try {
      const connection = await examineConnection(backend);
      show(connection.section);
      if (connection.answers) {
        show(await examineSettings(backend));
        show(await examineGroups(backend));
      }
    } finally {
      await backend[Symbol.asyncDispose]?.();
    }
  }
  const count = (level: Finding["level"]) =>
    sections.flatMap((each) => each.findings).filter((each) => each.level === level).length;
  const [problems, warnings] = [count("problem"), count("warning")];
  if (flags.json) this.printJson({ problems, warnings, sections: this.redactJson(sections) });
  else this.print(`${plural(problems, "problem")}, ${plural(warnings, "warning")}`);
  if (problems > 0) this.exitCode = exitCodes.findings;
}

const marks: Readonly<Record<Finding["level"], string>> = { ok: "ok", warning: "warning", problem: "PROBLEM" };

function describe({ title, facts, findings }: Section, style: Style): string {
  const colour = { ok: style.green, warning: style.yellow, problem: style.red };
  return [
    style.bold(title),
    ...facts.map((fact) => `  ${fact}`),
    ...findings.flatMap(({ level, message, mend }) => [
      `  ${colour[level](marks[level])}: ${message}`,
      ...(mend === undefined ? [] : [`    ${style.dim("mend:")} ${mend}`]),
    ]),
  ].join("\n");
}

/** `mq doctor`. */
export const doctor: Command<Cli> = buildCommand<CommonFlags, [], Cli>({
  func: runDoctor,
  parameters: { flags: commonFlags, aliases: { b: "backend" } },
  docs: {
    brief: "Look for what is wrong, and say what mends it",
    fullDescription:
      "Looks at the runtime and its permissions, the variables (secrets hidden), how the backend is found, the " +
      "connection, the broker's settings and clock, and the groups. Changes nothing. Exits with 5 when there is a problem; " +
      "a warning alone does not count.",
  },
});
