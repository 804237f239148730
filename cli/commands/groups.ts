/**
 * `mq groups`.
 *
 * @module
 */

import { buildCommand, buildRouteMap, type RouteMap } from "@stricli/core";
import { type Cli, type CommonFlags, commonFlags, openCliQueue } from "../context.ts";
import { formatDuration, table } from "../style.ts";

async function list(this: Cli, flags: CommonFlags): Promise<void> {
  await using queue = await openCliQueue(this, flags);
  const groups = await queue.groups.list();
  if (flags.json) return this.printJson(groups);
  if (groups.length === 0) return this.print("There is no group: its first consumer makes it");
  const rows = groups.map(({ name, keys, maxAttempts, expiresMs }) => [
    name,
    keys,
    maxAttempts,
    expiresMs === undefined ? "never" : `after ${formatDuration(expiresMs)} without a consumer`,
  ]);
  this.print(table(["group", "keys", "max attempts", "expires"], rows, this.style));
}

async function remove(this: Cli, flags: CommonFlags, ...names: readonly string[]): Promise<void> {
  await using queue = await openCliQueue(this, flags);
  for (const name of names) {
    await queue.groups.delete(name);
    if (flags.json) this.printJson({ deleted: name });
    else this.print(`Deleted ${name}`);
  }
}

/** `mq groups`. */
export const groups: RouteMap<Cli> = buildRouteMap<string, Cli>({
  routes: {
    list: buildCommand<CommonFlags, [], Cli>({
      func: list,
      parameters: { flags: commonFlags, aliases: { b: "backend" } },
      docs: { brief: "List the groups" },
    }),
    delete: buildCommand<CommonFlags, string[], Cli>({
      func: remove,
      parameters: {
        positional: {
          kind: "array",
          parameter: { placeholder: "group", brief: "The group to delete", parse: String },
          minimum: 1,
        },
        flags: commonFlags,
        aliases: { b: "backend" },
      },
      docs: { brief: "Delete groups, with what waits in them and their dead letters" },
    }),
  },
  docs: { brief: "List and delete groups" },
});
