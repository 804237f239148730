/**
 * Which backend is used and why, step by step.
 *
 * @module
 */

import { type DiscoveryOptions, getMessageQueueBackend, type MessageQueueBackend, MessageQueueError } from "@abe/mq";
import { listPlugins, type PluginInfo } from "@abe/mq/plugins";
import { existsSync } from "node:fs";
import { readEnvironment } from "../environment.ts";
import { errorText } from "../exit.ts";
import { hideCredentials } from "../redact.ts";
import { Notes, type Section } from "./finding.ts";

const lockFile = "abe-mq.lock.json";

/**
 * Follows the discovery and makes the backend.
 *
 * @param options How the command finds its backend.
 * @returns What was found, and the backend if it could be made.
 */
export async function examineDiscovery(
  options: DiscoveryOptions,
): Promise<{ readonly section: Section; readonly backend?: MessageQueueBackend }> {
  const notes = new Notes("discovery");
  const env = readEnvironment();
  const argument = typeof options.backend === "string" ? options.backend : undefined;
  const url = env["ABE_MQ_PLUGIN_URL"] || undefined;
  const name = env["MESSAGE_QUEUE_BACKEND"] || env["QUEUE_BACKEND"] || undefined;
  const steps: [step: string, value: string | undefined][] = [
    ["1. --backend", argument],
    ["2. ABE_MQ_PLUGIN_URL", url],
    ["3. MESSAGE_QUEUE_BACKEND", name],
  ];
  const decisive = steps.findIndex(([, value]) => value !== undefined);
  for (const [i, [step, value]] of steps.entries()) {
    const use = i === decisive
      ? ": used"
      : value !== undefined && i === 2 && decisive === 1
      ? ": chooses in that module"
      : "";
    notes.fact(`${step}: ${value === undefined ? "not given" : hideCredentials(value) + use}`);
  }
  let plugins: readonly PluginInfo[] = [];
  try {
    plugins = await listPlugins(options);
    const configured = plugins.filter(({ from }) => from === "map" || from === "dependency");
    const found = configured.map((each) => `${each.name} (${each.where})`).join(", ") || "none";
    notes.fact(`4. the only plugin configured: ${found}`);
    notes.fact(
      `names: ${[...new Set(plugins.filter(({ from }) => from !== "variable").map((each) => each.name))].join(", ")}`,
    );
  } catch (error) {
    notes.problem(errorText(error, false), "mend the map or the manifest that it names");
  }
  const backend = await make(options, notes);
  const isOpen = decisive < 0 && !plugins.some(({ from }) => from === "map" || from === "dependency");
  if (backend !== undefined && isOpen) {
    notes.warning(
      "No backend is configured, so memory is used and messages end with their process",
      "MESSAGE_QUEUE_BACKEND=sqlite",
    );
  }
  examinePins(notes, argument ?? url ?? plugins.find((each) => each.name === name && !each.shadowed)?.specifier);
  return { section: notes, ...(backend !== undefined && { backend }) };
}

async function make(options: DiscoveryOptions, notes: Notes): Promise<MessageQueueBackend | undefined> {
  try {
    const backend = await getMessageQueueBackend(options);
    const declared = Object.entries(backend.capabilities ?? {}).filter(([, has]) => has).map(([name]) => name);
    notes.ok(`The backend is made; it declares ${declared.join(", ") || "nothing"}`);
    return backend;
  } catch (error) {
    notes.problem(errorText(error, false), mendFor(error));
    return undefined;
  }
}

function mendFor(error: unknown): string {
  const code = error instanceof MessageQueueError ? error.code : undefined;
  if (code === "config") return "set the variables as it says; docs/configuration.md lists them";
  if (code === "plugin_refused") {
    return "`mq plugins verify` tells what changed; docs/security.md tells what is checked";
  }
  return "`mq plugins list` shows every name, where it is from, and whether it loads";
}

function examinePins(notes: Notes, specifier: string | undefined): void {
  if (specifier === undefined || !/^(?:https:|jsr:)/i.test(specifier)) return;
  if (existsSync(lockFile)) notes.ok(`Its code is pinned by ${lockFile}`);
  else if (/#sha\d+-/.test(specifier)) notes.ok("Its entry is pinned by the digest in its URL");
  else notes.warning("The backend's code comes from a URL and is not pinned", "mq plugins lock");
}
