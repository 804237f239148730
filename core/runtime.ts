/**
 * The one file that knows which runtime this is: the only one that touches `Deno`, `Bun` or `process`.
 *
 * @module
 */

interface DenoLike {
  readonly version: { readonly deno: string };
  readonly env: { get(name: string): string | undefined };
  readonly permissions: {
    querySync(descriptor: Permission): { readonly state: string };
  };
  readonly build: { readonly os: string };
}

/** Something that Deno's permissions are about. */
export type Permission =
  | { readonly name: "env"; readonly variable: string }
  | { readonly name: "read" | "write"; readonly path?: string }
  | { readonly name: "net" | "import"; readonly host?: string };

interface ModuleLike {
  readonly stripTypeScriptTypes?: (code: string, options: { readonly mode: "strip" }) => string;
}

interface ProcessLike {
  emitWarning: unknown;
  getBuiltinModule?(name: "node:module"): ModuleLike;
  readonly env: Record<string, string | undefined>;
  readonly platform: string;
  readonly versions: Record<string, string | undefined>;
  readonly pid: number;
  cwd(): string;
}

const globals = globalThis as { Deno?: DenoLike; Bun?: { readonly version: string }; process?: ProcessLike };

/** The runtimes that are supported. */
export type RuntimeName = "deno" | "bun" | "node";

/** The runtime that this process runs under. */
export const runtime: RuntimeName = globals.Deno ? "deno" : globals.Bun ? "bun" : "node";

/** The least version of each runtime. */
export const leastVersions: Readonly<Record<RuntimeName, string>> = { deno: "2.9.0", bun: "1.4.0", node: "24.0.0" };

/** The version of this runtime, such as `2.9.6`. */
export const runtimeVersion: string = globals.Deno?.version.deno ?? globals.Bun?.version ??
  globals.process?.versions.node ?? "0.0.0";

/** The number of this process, for names that two processes must not share. */
export function processId(): number {
  return process_().pid;
}

/** The working directory. On Deno it needs permission to read it. */
export function workingDirectory(): string {
  return process_().cwd();
}

/** The operating system, by Node's names: `linux`, `darwin`, `win32`, ... */
export function platform(): string {
  return process_().platform;
}

function process_(): ProcessLike {
  // Deno has had the global since 2.0, and Bun always.
  if (globals.process === undefined) throw new TypeError("Cannot run here: this runtime has no `process`");
  return globals.process;
}

/**
 * Whether the program may do something without anybody being asked. This question itself never prompts.
 *
 * @param permission What it wants to do.
 * @returns Whether Deno has granted it; on other runtimes always `true`.
 */
export function isPermitted(permission: Permission): boolean {
  return globals.Deno === undefined || globals.Deno.permissions.querySync(permission).state === "granted";
}

/**
 * Blanks the types out of TypeScript, so that every position stays where it was.
 *
 * @param code Erasable TypeScript.
 * @returns JavaScript; `undefined` when this runtime (Bun) has no such function.
 * @throws What the runtime says about code that is no TypeScript.
 */
export function stripTypes(code: string): string | undefined {
  const process = process_();
  const strip = process.getBuiltinModule?.("node:module").stripTypeScriptTypes;
  if (strip === undefined) return undefined;
  // Node 24 writes a warning about its function on first use, which says nothing to whoever runs the program.
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return strip(code, { mode: "strip" });
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** An environment variable: its value, `undefined` when unset, or that this program may not read it. */
export type Variable = { readonly value: string | undefined } | { readonly denied: true };

/**
 * Reads one environment variable by its name, which asks for the least permission; never prompts.
 *
 * @param name The variable's name.
 * @returns Its value, or that it may not be read.
 */
export function readVariable(name: string): Variable {
  const deno = globals.Deno;
  if (deno === undefined) return { value: process_().env[name] };
  // Reading without permission prompts on a terminal, so ask first; this query itself never prompts.
  if (deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") return { denied: true };
  return { value: deno.env.get(name) };
}
