/**
 * `mq plugins`.
 *
 * @module
 */

import { listPlugins, lockPlugins, pinPlugin, type PluginInfo, verifyPlugins } from "@abe/mq/plugins";
import { buildCommand, buildRouteMap, type RouteMap } from "@stricli/core";
import { type Cli, discoveryOptions, outputFlags } from "../context.ts";
import { CliError, exitCodes } from "../exit.ts";
import { addToMap, mapPath, nameFor, pinInMap, readMap } from "../plugin_map.ts";
import { hideCredentials } from "../redact.ts";
import { type Cell, plural, table } from "../style.ts";

interface Flags {
  readonly json: boolean;
  readonly debug: boolean;
}
interface ListFlags extends Flags {
  readonly load: boolean;
}
interface AddFlags extends Flags {
  readonly name?: string | undefined;
  readonly force: boolean;
}

async function list(this: Cli, flags: ListFlags): Promise<void> {
  const plugins = await listPlugins({ ...discoveryOptions(this, flags), load: flags.load });
  if (flags.json) {
    return this.printJson(this.redactJson(plugins.map((each) => ({ ...each, loadable: loadable(each, flags) }))));
  }
  const rows = plugins.map((each): Cell[] => [
    each.name,
    each.from,
    each.specifier === undefined ? each.where : hideCredentials(each.specifier),
    statusOf(this, each, flags),
  ]);
  this.print(table(["name", "from", "specifier", ""], rows, this.style));
}

function loadable({ error }: PluginInfo, { load }: ListFlags): boolean | undefined {
  return load ? error === undefined : undefined;
}

function statusOf({ style }: Cli, { error, shadowed }: PluginInfo, { load }: ListFlags): Cell {
  if (error !== undefined) return { text: error.replaceAll(/\s*\n\s*/g, " "), style: style.red };
  if (shadowed) return { text: "never used: an earlier one has its name", style: style.yellow };
  return load ? { text: "loads", style: style.green } : "";
}

async function add(this: Cli, flags: AddFlags, specifier: string): Promise<void> {
  const { name = nameFor(specifier) } = flags;
  if (name === undefined) {
    throw new CliError(`Cannot tell a name from ${hideCredentials(specifier)}: give one by --name`, exitCodes.usage);
  }
  const isUrl = /^https?:/i.test(specifier);
  // What runs from a URL is what was there when it was added, until somebody pins it anew.
  const pinned = isUrl ? await pinPlugin(specifier, discoveryOptions(this, flags)) : specifier;
  const path = mapPath();
  await addToMap(path, name, pinned, flags.force);
  if (flags.json) return this.printJson({ name, specifier: hideCredentials(pinned), map: path });
  this.print(`Added ${name} to ${path}${isUrl ? ", pinned by its digest" : ""}`);
  this.print(this.style.dim(`Use it by MESSAGE_QUEUE_BACKEND=${name}; \`mq plugins list\` tells whether it loads`));
  if (isUrl || specifier.startsWith("jsr:")) {
    this.print(this.style.dim("`mq plugins lock` pins what it imports, too"));
  }
}

async function pin(this: Cli, flags: Flags, wanted: string): Promise<void> {
  const path = mapPath();
  const mapped = (await readMap(path)).imports.get(wanted);
  const pinned = await pinPlugin(mapped ?? wanted, discoveryOptions(this, flags));
  if (mapped !== undefined) await pinInMap(path, wanted, pinned);
  if (flags.json) return this.printJson({ specifier: hideCredentials(pinned), ...(mapped && { map: path }) });
  if (mapped !== undefined) this.print(`Pinned ${wanted} in ${path}`);
  this.print(hideCredentials(pinned));
}

async function lock(this: Cli, flags: Flags, ...specifiers: readonly string[]): Promise<void> {
  const options = discoveryOptions(this, flags);
  const locked = await lockPlugins(specifiers.length > 0 ? { ...options, specifiers } : options);
  const { path, modules } = locked;
  const names = locked.specifiers.map(hideCredentials);
  if (flags.json) return this.printJson({ path, specifiers: names, modules: Object.fromEntries(modules) });
  this.print(`Locked ${plural(modules.size, "module")} of ${names.join(", ")} in ${path}`);
}

async function verify(this: Cli, flags: Flags): Promise<void> {
  const { path, checked, problems } = await verifyPlugins(discoveryOptions(this, flags));
  if (flags.json) this.printJson({ path, checked, problems });
  else if (problems.length === 0) this.print(`${path}: all ${plural(checked, "URL")} are as they were locked`);
  for (const { url, problem } of flags.json ? [] : problems) {
    this.print(`${this.style.red("changed")} ${url}: ${problem}`);
  }
  if (problems.length === 0) return;
  this.exitCode = exitCodes.findings;
  if (!flags.json) {
    this.print(
      `${problems.length} of ${plural(checked, "URL")} in ${path} are not as they were locked. ` +
        "If the change is known and wanted, lock them anew: `mq plugins lock`",
    );
  }
}

/** `mq plugins`. */
export const plugins: RouteMap<Cli> = buildRouteMap<string, Cli>({
  routes: {
    list: buildCommand<ListFlags, [], Cli>({
      func: list,
      parameters: {
        flags: {
          load: {
            kind: "boolean",
            default: true,
            brief: "Load each one to see whether it can be, which runs its code",
          },
          ...outputFlags,
        },
      },
      docs: { brief: "List every backend that could be named, where it is from, and whether it loads" },
    }),
    add: buildCommand<AddFlags, [specifier: string], Cli>({
      func: add,
      parameters: {
        positional: {
          kind: "tuple",
          parameters: [{ placeholder: "specifier", brief: "A URL, jsr:, npm:, a package, or a path", parse: String }],
        },
        flags: {
          name: { kind: "parsed", parse: String, optional: true, placeholder: "name", brief: "The name it gets" },
          force: { kind: "boolean", default: false, brief: "Replace what has that name" },
          ...outputFlags,
        },
      },
      docs: {
        brief: "Name a plugin in plugins/import_map.json; one from a URL is pinned",
        fullDescription:
          "Names a plugin in the import map of the application (ABE_MQ_PLUGINS, or plugins/import_map.json). " +
          "One from a URL is fetched and pinned by its digest; nothing of it is run.",
      },
    }),
    pin: buildCommand<Flags, [wanted: string], Cli>({
      func: pin,
      parameters: {
        positional: {
          kind: "tuple",
          parameters: [{
            placeholder: "name|url",
            brief: "A name in the map, a URL or a jsr: specifier",
            parse: String,
          }],
        },
        flags: outputFlags,
      },
      docs: { brief: "Print a plugin's URL with its digest, for ABE_MQ_PLUGIN_URL; a name is pinned in the map" },
    }),
    lock: buildCommand<Flags, string[], Cli>({
      func: lock,
      parameters: {
        positional: {
          kind: "array",
          parameter: { placeholder: "url", brief: "What to lock; without it, all remote plugins", parse: String },
        },
        flags: outputFlags,
      },
      docs: { brief: "Write the digest of every module of the remote plugins into abe-mq.lock.json" },
    }),
    verify: buildCommand<Flags, [], Cli>({
      func: verify,
      parameters: { flags: outputFlags },
      docs: { brief: "Fetch what abe-mq.lock.json names anew and compare; exits with 5 when something changed" },
    }),
  },
  docs: { brief: "List, add, pin, lock and verify plugins" },
});
