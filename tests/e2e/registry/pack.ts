/**
 * Packs a package as JSR does when it is published: once as it is, with the names of its dependencies written out, and once for npm,
 * as JavaScript with declarations.
 *
 * @module
 */

import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { init, parse } from "es-module-lexer";
import ts from "typescript";

/** A package, ready to be served. */
export interface Packed {
  /** `@scope/name`. */
  readonly name: string;
  /** Its version. */
  readonly version: string;
  /** Its exports: `.` or `./name` to a path that begins with `./`. */
  readonly exports: Readonly<Record<string, string>>;
  /** What JSR serves: path, beginning with a slash, to text. */
  readonly files: ReadonlyMap<string, string>;
  /** What the tarball for npm holds: path to text. */
  readonly npmFiles: ReadonlyMap<string, string>;
}

/** What is to be packed. */
export interface Source {
  /** `@scope/name`. */
  readonly name: string;
  /** Its version. */
  readonly version: string;
  /** Its exports. */
  readonly exports: Readonly<Record<string, string>>;
  /** Bare names to specifiers, as in `deno.json`. */
  readonly imports: Readonly<Record<string, string>>;
  /** Path, beginning with a slash, to text. */
  readonly files: ReadonlyMap<string, string>;
}

/**
 * Reads a package from a folder by its `deno.json`.
 *
 * @param folder The folder.
 * @param imports Bare names to specifiers beside those in the file: the other packages of its workspace.
 * @returns What would be published.
 */
export async function readPackage(folder: string, imports: Readonly<Record<string, string>> = {}): Promise<Source> {
  const config = JSON.parse(await readFile(join(folder, "deno.json"), "utf8"));
  const files = new Map<string, string>();
  const add = async (path: string): Promise<void> => {
    const full = join(folder, path);
    const stats = await stat(full).catch(() => undefined);
    if (stats?.isDirectory()) { for (const name of await readdir(full)) await add(`${path}/${name}`); }
    else if (stats !== undefined) files.set(`/${path}`, await readFile(full, "utf8"));
  };
  const { include = await readdir(folder), exclude = [] } = config.publish ?? {};
  for (const path of include) if (!exclude.includes(path)) await add(path);
  const { name, version, exports } = config;
  const entries = typeof exports === "string" ? { ".": exports } : exports;
  return { name, version, exports: entries, imports: { ...imports, ...config.imports }, files };
}

/**
 * Packs.
 *
 * @param source The package.
 * @returns What a registry serves.
 */
export async function pack(source: Source): Promise<Packed> {
  await init();
  const { name, version, exports, imports } = source;
  const files = new Map<string, string>();
  const npmFiles = new Map<string, string>();
  const dependencies: Record<string, string> = {};
  const sources = new Map<string, string>();
  for (const [path, text] of source.files) {
    if (!path.endsWith(".ts")) {
      files.set(path, text);
      npmFiles.set(path, text);
      continue;
    }
    files.set(path, rewriteImports(text, (specifier) => unfurl(specifier, imports)));
    const forNpm = rewriteImports(text, (specifier) => forNode(unfurl(specifier, imports), dependencies));
    sources.set(path, forNpm);
    npmFiles.set(
      path.replace(/\.ts$/, ".js"),
      ts.transpileModule(forNpm, { compilerOptions, fileName: path }).outputText,
    );
  }
  for (const [path, text] of declarationsOf(sources)) npmFiles.set(`/_dist${path}`, text);
  const js = (path: string) => path.replace(/\.ts$/, ".js");
  npmFiles.set(
    "/package.json",
    JSON.stringify({
      name: npmName(name),
      version,
      type: "module",
      dependencies,
      exports: Object.fromEntries(
        Object.entries(exports).map(([key, path]) => [
          key,
          { types: `./_dist${path.slice(1).replace(/\.ts$/, ".d.ts")}`, default: js(path) },
        ]),
      ),
    }),
  );
  return { name, version, exports, files, npmFiles };
}

const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  verbatimModuleSyntax: true,
};

// Explicit types on every export make this possible without a look at the types of other packages.
function declarationsOf(sources: ReadonlyMap<string, string>): Map<string, string> {
  const written = new Map<string, string>();
  const options: ts.CompilerOptions = {
    ...compilerOptions,
    declaration: true,
    emitDeclarationOnly: true,
    noCheck: true,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const read = host.readFile.bind(host);
  const exists = host.fileExists.bind(host);
  host.readFile = (path) => sources.get(path) ?? read(path);
  host.fileExists = (path) => sources.has(path) || exists(path);
  host.getSourceFile = (path, version) => {
    const text = host.readFile(path);
    return text === undefined ? undefined : ts.createSourceFile(path, text, version);
  };
  host.writeFile = (path, text) => written.set(path, text);
  host.getCurrentDirectory = () => "/";
  ts.createProgram([...sources.keys()], options, host).emit();
  return written;
}

/**
 * The name of a JSR package in its npm registry.
 *
 * @param name `@scope/name`.
 * @returns `@jsr/scope__name`.
 */
export function npmName(name: string): string {
  return `@jsr/${name.slice(1).replace("/", "__")}`;
}

function unfurl(specifier: string, imports: Readonly<Record<string, string>>): string {
  const exact = imports[specifier];
  if (exact !== undefined) return exact;
  for (const [name, target] of Object.entries(imports)) {
    if (specifier.startsWith(`${name}/`)) return target + specifier.slice(name.length);
  }
  return specifier;
}

// `npm:zod@^4/mini` becomes `zod/mini` and a dependency, `jsr:` the name in the npm registry of JSR.
function forNode(specifier: string, dependencies: Record<string, string>): string {
  const match = /^(npm|jsr):((?:@[^/@]+\/)?[^/@]+)(?:@([^/]+))?(\/.*)?$/.exec(specifier);
  const [, registry, name = "", range = "*", rest = ""] = match ?? [];
  if (registry === undefined) return specifier.replace(/^(\.{1,2}\/.*)\.ts$/, "$1.js");
  const installed = registry === "jsr" ? npmName(name) : name;
  dependencies[installed] = range;
  return installed + rest;
}

function rewriteImports(text: string, rewrite: (specifier: string) => string): string {
  const [imports] = parse(text);
  let result = text;
  for (const each of [...imports].sort((a, b) => b.start - a.start)) {
    if (each.type === "import-meta" || typeof each.specifier !== "string") continue;
    const span = text.slice(each.start, each.end);
    const at = span.indexOf(each.specifier);
    if (at < 0) continue;
    const start = each.start + at;
    result = result.slice(0, start) + rewrite(each.specifier) + result.slice(start + each.specifier.length);
  }
  return result;
}
