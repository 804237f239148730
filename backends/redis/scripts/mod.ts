/**
 * The scripts by name, complete.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { claim } from "./claim.ts";
import { group, removeGroup, revive, stats } from "./groups.ts";
import { lib } from "./lib.ts";
import { publish, publishPlain } from "./publish.ts";
import { extend, giveBack, settle } from "./settle.ts";
import { sweepOnly, tend } from "./tend.ts";

/** Every script, as it is sent to the server. */
export const scripts = {
  publishPlain,
  publish: lib + publish,
  claim: lib + claim,
  settle: lib + settle,
  extend: lib + extend,
  giveBack: lib + giveBack,
  tend: lib + tend,
  sweep: lib + sweepOnly,
  group: lib + group,
  removeGroup: lib + removeGroup,
  stats: lib + stats,
  revive: lib + revive,
} as const satisfies Record<string, string>;

/** A script's name. */
export type ScriptName = keyof typeof scripts;

/** The names. */
export const scriptNames: readonly ScriptName[] = Object.keys(scripts) as ScriptName[];

/** The digests by which the server knows them. */
export const digests: Readonly<Record<ScriptName, string>> = Object.fromEntries(
  scriptNames.map((name) => [name, createHash("sha1").update(scripts[name]).digest("hex")]),
) as Record<ScriptName, string>;
