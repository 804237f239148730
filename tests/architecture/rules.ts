/**
 * Who may import whom, and what else holds for all sources of the library.
 *
 * @module
 */

import { builtinModules } from "node:module";
import { posix } from "node:path";
import { type Import, type Module, readModule } from "./module.ts";

/** Paths, relative to the repository, and the text of each file. */
export type Sources = ReadonlyMap<string, string>;

/** The client libraries that a backend may import, besides `zod`. */
const clients: Readonly<Record<string, readonly string[]>> = {
  redis: ["redis"],
};

/** The packages of the workspace that are used as libraries, with the one library that each is made for. */
const packages: Readonly<Record<string, readonly string[]>> = {
  codecs: ["devalue", "@msgpack/msgpack"],
  otel: ["@opentelemetry/api"],
};

/** Names of the package's own modules, as `deno.json` exports them. */
export type OwnNames = Readonly<Record<string, string>>;

/**
 * Holds the rules against sources.
 *
 * @param sources The library's files.
 * @param own The files behind the package's own names (`@abe/mq`, `@abe/mq/memory`).
 * @returns What breaks a rule, each as one sentence that starts with the file; empty when all is well.
 */
export function findViolations(sources: Sources, own: OwnNames = {}): string[] {
  const modules = new Map([...sources].map(([path, text]) => [path, readModule(path, text)]));
  const resolve = (from: string, { specifier }: Import) => resolveSpecifier(from, specifier, own);
  const found: string[] = [];
  for (const module of modules.values()) {
    for (const each of module.imports) {
      const target = resolve(module.path, each);
      const wrong = wrongImport(module.path, each, target);
      if (wrong) found.push(`${module.path} ${each.lazy ? "loads" : "imports"} ${describe(target)}: ${wrong}`);
    }
    if (module.path !== "core/runtime.ts") {
      for (const name of module.globals) found.push(`${module.path} mentions ${name}: only core/runtime.ts may`);
    }
    for (const what of module.notErasable) found.push(`${module.path} holds what cannot be erased: ${what}`);
    if (module.path === "mod.ts" && module.hasCode) found.push("mod.ts holds more than exports from other files");
  }
  found.push(...closureViolations(modules, resolve), ...circles(modules, resolve));
  return found;
}

/** Where an import leads. */
type Target =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "builtin" | "jsr" | "registry" | "url"; readonly name: string }
  | { readonly kind: "computed" };

function resolveSpecifier(from: string, specifier: string | undefined, own: OwnNames): Target {
  if (specifier === undefined) return { kind: "computed" };
  if (/^\.{0,2}\//.test(specifier)) return { kind: "file", path: posix.join(posix.dirname(from), specifier) };
  const ownPath = Object.hasOwn(own, specifier) ? own[specifier] : undefined;
  if (ownPath !== undefined) return { kind: "file", path: posix.normalize(ownPath) };
  if (specifier.startsWith("node:") || builtinModules.includes(specifier)) return { kind: "builtin", name: specifier };
  if (specifier.startsWith("jsr:") || specifier.startsWith("@std/")) return { kind: "jsr", name: specifier };
  if (/^(?:https?|file|data|blob):/.test(specifier)) return { kind: "url", name: specifier };
  return { kind: "registry", name: specifier.replace(/^npm:\/?/, "") };
}

function describe(target: Target): string {
  return target.kind === "file" ? target.path : target.kind === "computed" ? "a computed name" : target.name;
}

// `@scope/name@1/sub/path` is of the package `@scope/name`.
function packageName(name: string): string {
  return /^(?:@[^/@]+\/)?[^/@]+/.exec(name)?.[0] ?? name;
}

const outside = ["tests", "bench", "examples", "cli", "codecs", "otel"];

// Where the kit starts processes of its own, which then load the backend by the URL that the harness gives.
const workers = new Set(["testing/child.ts", "testing/workers.ts"]);

function wrongImport(from: string, { lazy, specifier }: Import, target: Target): string | undefined {
  const part = from.split("/")[0] ?? "";
  if (Object.hasOwn(packages, part)) return wrongInPackage(part, specifier, target);
  if (target.kind === "jsr") return "the library imports nothing from JSR";
  if (target.kind === "url") return "the library imports no URL";
  if (target.kind === "builtin" && /^(?:node:)?process$/.test(target.name)) {
    // The kit's workers are processes of their own.
    if (workers.has(from)) return undefined;
    return "only core/runtime.ts knows the process";
  }
  if (target.kind === "computed") {
    return part === "plugins" || workers.has(from) ? undefined : "only plugins/ loads what it computes";
  }
  const into = target.kind === "file" ? target.path.split("/")[0] ?? "" : "";
  if (outside.includes(into)) return `nothing imports ${into}/`;
  if (part === "mod.ts") {
    return into === "core" || into === "plugins" ? undefined : "it exports core/ and plugins/ alone";
  }
  if (part === "core") return into === "core" ? undefined : "core/ imports nothing outside core/";
  if (target.kind === "builtin") return undefined;
  if (part === "backends") return wrongInBackend(from, target, into);
  if (part === "plugins") {
    if (target.kind === "registry") return lazy ? undefined : "plugins/ loads packages lazily";
    if (into === "backends" || into === "mod.ts") return lazy ? undefined : "plugins/ loads backends lazily";
    return into === "core" || into === "plugins" ? undefined : "plugins/ imports core/ and, lazily, backends/";
  }
  if (part === "testing") {
    if (into === "testing" || into === "mod.ts") return undefined;
    return "testing/ imports mod.ts, as the author of a plugin does";
  }
  return undefined;
}

function wrongInBackend(from: string, target: Target, into: string): string | undefined {
  const backendOf = (path: string) => (path.split("/")[1] ?? "").replace(/\.ts$/, "");
  const name = backendOf(from);
  if (target.kind === "registry") {
    const wanted = packageName(target.name);
    const allowed = ["zod", ...(clients[name] ?? [])];
    return allowed.includes(wanted) ? undefined : `the backend ${name} may import ${allowed.join(", ")}`;
  }
  if (into === "core") return undefined;
  if (target.kind === "file" && into === "backends") {
    return backendOf(target.path) === name ? undefined : "a backend never imports another";
  }
  return "a backend imports core/, its client library and zod";
}

// A package of the workspace is to the main one what any other package is.
function wrongInPackage(part: string, specifier: string | undefined, target: Target): string | undefined {
  const allowed = packages[part] ?? [];
  const wrong = `the package ${part} imports @abe/mq by name, and ${allowed.join(", ")}`;
  if (target.kind === "registry") return allowed.includes(packageName(target.name)) ? undefined : wrong;
  if (target.kind !== "file") return wrong;
  return target.path.startsWith(`${part}/`) || specifier?.startsWith("@abe/mq") ? undefined : wrong;
}

type Resolve = (from: string, each: Import) => Target;

// What is loaded with `mod.ts`, whether it is used or not.
function closureViolations(modules: ReadonlyMap<string, Module>, resolve: Resolve): string[] {
  const found: string[] = [];
  const seen = new Set(["mod.ts"]);
  for (const path of seen) {
    for (const each of modules.get(path)?.imports ?? []) {
      if (each.lazy) continue;
      const target = resolve(path, each);
      if (target.kind === "file") {
        if (target.path.startsWith("backends/")) found.push(`${path} makes mod.ts load ${target.path}`);
        seen.add(target.path);
      } else if (target.kind === "registry") found.push(`${path} makes mod.ts need ${target.name} from a registry`);
    }
  }
  return found;
}

// Every circle is told once, from where it was entered.
function circles(modules: ReadonlyMap<string, Module>, resolve: Resolve): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      found.push(`${path} is in a circle of imports: ${[...trail.slice(at), path].join(" -> ")}`);
      return;
    }
    if (done.has(path)) return;
    for (const each of modules.get(path)?.imports ?? []) {
      const target = resolve(path, each);
      if (!each.lazy && target.kind === "file") visit(target.path, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of modules.keys()) visit(path, []);
  return found;
}
