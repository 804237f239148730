/**
 * `mq dead`.
 *
 * @module
 */

import { type DeadLetter, defaultGroup, type MessageQueue } from "@abe/mq";
import { buildCommand, buildRouteMap, type RouteMap } from "@stricli/core";
import { readBody } from "../body.ts";
import { type Cli, type CommonFlags, commonFlags, openCliQueue } from "../context.ts";
import { CliError, exitCodes } from "../exit.ts";
import { plural, table } from "../style.ts";
import { parseCount } from "../values.ts";

interface GroupFlags extends CommonFlags {
  readonly group: string;
}
interface ListFlags extends GroupFlags {
  readonly limit: number;
}
interface SomeFlags extends GroupFlags {
  readonly all: boolean;
}

// The largest page that a queue gives.
const pageSize = 1_000;
const errorLength = 60;

async function* each(queue: MessageQueue, group: string, limit: number): AsyncGenerator<DeadLetter> {
  let left = limit;
  let cursor: string | undefined;
  while (left > 0) {
    const options = { limit: Math.min(left, pageSize), ...(cursor !== undefined && { cursor }) };
    const page = await queue.deadLetters.list(group, options);
    yield* page.deadLetters;
    left -= page.deadLetters.length;
    if (page.cursor === undefined) return;
    cursor = page.cursor;
  }
}

// The body is what `payload` was decoded from.
function forJson({ body, payload, publishedAt, deadAt, ...rest }: DeadLetter): object {
  return {
    ...rest,
    ...(payload === undefined ? readBody(body) : { payload }),
    publishedAt: new Date(publishedAt),
    deadAt: new Date(deadAt),
  };
}

function shortened(text: string): string {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length > errorLength ? `${line.slice(0, errorLength - 3)}...` : line;
}

async function list(this: Cli, flags: ListFlags): Promise<void> {
  await using queue = await openCliQueue(this, flags);
  const rows: string[][] = [];
  for await (const letter of each(queue, flags.group, flags.limit)) {
    const { id, key, reason, attempts, deadAt, error } = letter;
    if (flags.json) this.printJson(forJson(letter));
    else rows.push([id, key, reason, `${attempts}`, new Date(deadAt).toISOString(), shortened(error ?? "")]);
  }
  if (flags.json) return;
  if (rows.length === 0) this.print(`Group ${flags.group} has no dead letters`);
  else this.printData(table(["id", "key", "reason", "attempts", "dead since", "error"], rows, this.style));
}

async function show(this: Cli, flags: GroupFlags, id: string): Promise<void> {
  await using queue = await openCliQueue(this, flags);
  const letter = await queue.deadLetters.get(flags.group, id);
  if (letter === undefined) {
    throw new CliError(`Cannot show ${id}: group ${flags.group} has no such dead letter`);
  }
  if (flags.json) return this.printJson(forJson(letter));
  const { headers, publishedAt, deadAt, payload, body, ...rest } = letter;
  const lines: [string, string][] = [
    ...Object.entries(rest).map(([name, value]): [string, string] => [name, String(value)]),
    ["publishedAt", new Date(publishedAt).toISOString()],
    ["deadAt", new Date(deadAt).toISOString()],
    ...Object.entries(headers).map(([name, value]): [string, string] => [`header ${name}`, value]),
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  for (const [name, value] of lines) this.printData(`${this.style.dim(name.padEnd(width))}  ${value}`);
  const content = readBody(body);
  const raw = "body" in content ? content.body : content;
  this.printData(payload === undefined && typeof raw === "string" ? raw : JSON.stringify(payload ?? raw, undefined, 2));
}

function chosen(flags: SomeFlags, ids: readonly string[], verb: string): readonly string[] | undefined {
  if (flags.all !== ids.length > 0) return flags.all ? undefined : ids;
  const problem = flags.all ? "give ids or --all, not both" : "give the ids, or --all";
  throw new CliError(`Cannot ${verb} dead letters: ${problem}`, exitCodes.usage);
}

async function replay(this: Cli, flags: SomeFlags, ...ids: readonly string[]): Promise<void> {
  const wanted = chosen(flags, ids, "replay");
  await using queue = await openCliQueue(this, flags);
  report(this, flags, "replayed", await queue.deadLetters.replay(flags.group, wanted), wanted);
}

async function purge(this: Cli, flags: SomeFlags, ...ids: readonly string[]): Promise<void> {
  const wanted = chosen(flags, ids, "purge");
  await using queue = await openCliQueue(this, flags);
  report(this, flags, "purged", await queue.deadLetters.purge(flags.group, wanted), wanted);
}

function report(cli: Cli, flags: SomeFlags, verb: string, count: number, wanted: readonly string[] | undefined): void {
  if (flags.json) cli.printJson({ [verb]: count });
  else cli.print(`${verb[0]?.toUpperCase()}${verb.slice(1)} ${plural(count, "dead letter")} of group ${flags.group}`);
  if (wanted !== undefined && count < wanted.length) {
    throw new CliError(`Of ${wanted.length} ids ${wanted.length - count} are no dead letters of group ${flags.group}`);
  }
}

const groupFlags = {
  group: {
    kind: "parsed",
    parse: (text: string) => text,
    default: defaultGroup,
    placeholder: "name",
    brief: "The group that gave up on them",
  },
  ...commonFlags,
} as const;

const someFlags = { all: { kind: "boolean", default: false, brief: "All of the group" }, ...groupFlags } as const;
const aliases = { g: "group", b: "backend" } as const;
const ids = {
  kind: "array",
  parameter: { placeholder: "id", brief: "The message's id", parse: (text: string) => text },
} as const;

/** `mq dead`. */
export const dead: RouteMap<Cli> = buildRouteMap<string, Cli>({
  routes: {
    list: buildCommand<ListFlags, [], Cli>({
      func: list,
      parameters: {
        flags: {
          limit: { kind: "parsed", parse: parseCount, default: "100", placeholder: "n", brief: "At most so many" },
          ...groupFlags,
        },
        aliases: { ...aliases, n: "limit" },
      },
      docs: { brief: "List dead letters, oldest first; with --json one in each line" },
    }),
    show: buildCommand<GroupFlags, [id: string], Cli>({
      func: show,
      parameters: { positional: { kind: "tuple", parameters: [ids.parameter] }, flags: groupFlags, aliases },
      docs: { brief: "Show one with its payload" },
    }),
    replay: buildCommand<SomeFlags, string[], Cli>({
      func: replay,
      parameters: { positional: ids, flags: someFlags, aliases },
      docs: { brief: "Put dead letters back into their group, with attempts from 1" },
    }),
    purge: buildCommand<SomeFlags, string[], Cli>({
      func: purge,
      parameters: { positional: ids, flags: someFlags, aliases },
      docs: { brief: "Remove dead letters for good" },
    }),
  },
  docs: { brief: "Look into dead letters, replay and purge them" },
});
