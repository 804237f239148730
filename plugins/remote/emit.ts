/**
 * Writing a graph down so that the runtime can import it: specifiers replaced, positions kept.
 *
 * @module
 */

import { posix } from "node:path";
import { runtime } from "../../core/runtime.ts";
import type { GraphModule, Link } from "./graph.ts";
import { hostModule } from "./host.ts";
import { lineMap } from "./source_map.ts";
import { showUrl } from "./url.ts";

/** A graph as files. */
export interface Emitted {
  /** Relative path to text. */
  readonly files: ReadonlyMap<string, string>;
  /** The path of the entry. */
  readonly entry: string;
}

const computedImport =
  '((s)=>(s=String(s)).startsWith("node:")?import(s):Promise.reject(new TypeError("Cannot import a computed specifier in a module that was loaded from a URL: it could not be checked")))';

/**
 * Makes files of a graph.
 *
 * @param modules The graph; the first is the entry.
 * @returns The files.
 */
export async function emitGraph(modules: readonly GraphModule[]): Promise<Emitted> {
  const files = new Map<string, string>();
  const paths = modules.map(pathOf);
  const hosts = new Map<string, string>();
  const broken = new Map<string, string>();
  const extra = async (
    name: string,
    known: Map<string, string>,
    key: string,
    write: () => Promise<string> | string,
  ) => {
    if (known.has(key)) return;
    const path = `${name}/${known.size}.mjs`;
    known.set(key, path);
    files.set(path, await write());
  };
  for (const link of modules.flatMap(({ links }) => links)) {
    if (link.kind === "host") await extra("host", hosts, link.path, () => hostModule(link.path));
    if (link.kind === "broken") await extra("broken", broken, link.reason, () => throwing(link.reason));
  }
  for (const [index, module] of modules.entries()) {
    const own = paths[index] ?? "";
    const specifierOf = (link: Link): string => {
      if (link.kind === "local") return link.specifier;
      const path = link.kind === "module"
        ? paths[link.index]
        : link.kind === "host"
        ? hosts.get(link.path)
        : broken.get(link.reason);
      return relative(own, path ?? "");
    };
    files.set(own, rewrite(module, specifierOf));
  }
  return { files, entry: paths[0] ?? "" };
}

function rewrite(module: GraphModule, specifierOf: (link: Link) => string): string {
  const { lexed, links, source, url } = module;
  if (lexed === undefined) return source;
  const { code, places } = lexed;
  const parts: string[] = [];
  let at = 0;
  let link = 0;
  for (const place of places) {
    parts.push(code.slice(at, place.start));
    if (place.kind === "import") {
      const target = links[link++];
      if (target === undefined) throw new RangeError(`Cannot rewrite ${showUrl(url)}: an import was not followed`);
      parts.push(JSON.stringify(specifierOf(target)), newlines(code.slice(place.start, place.end)));
    } else if (place.kind === "computed") parts.push(computedImport);
    else parts.push(JSON.stringify(url.href), newlines(code.slice(place.start, place.end)));
    at = place.end;
  }
  parts.push(code.slice(at));
  return parts.join("") + trailer(url, code, lexed.typed);
}

// So that every line stays where it was.
function newlines(text: string): string {
  return "\n".repeat(text.split("\n").length - 1);
}

// What makes stack traces name the URL: V8 takes `sourceURL`, Deno only a source map; Bun takes neither, and shows the path of the
// file, in which the URL can be read.
function trailer(url: URL, code: string, typed: boolean): string {
  if (runtime === "node") return `\n//# sourceURL=${showUrl(url)}\n`;
  // Where types are still in it, Deno moves lines about before it looks at the map.
  if (runtime !== "deno" || typed) return "\n";
  const map = btoa(JSON.stringify(lineMap(showUrl(url), code)));
  return `\n//# sourceMappingURL=data:application/json;base64,${map}\n`;
}

function relative(from: string, to: string): string {
  const path = posix.relative(posix.dirname(from), to);
  return path.startsWith(".") ? path : `./${path}`;
}

function throwing(reason: string): string {
  return `throw Object.assign(new Error(${JSON.stringify(reason)}), { code: "ERR_MODULE_NOT_FOUND" });\n`;
}

// Numbered, so that no two meet; then the URL, with nothing in it that a file system could take for more than a name.
function pathOf(module: GraphModule, index: number): string {
  const { url, media, lexed } = module;
  const segments = url.pathname.split("/").filter((segment) => segment !== "");
  const last = (segments.pop() ?? "index").replace(/\.[mc]?[jt]sx?$|\.json$/, "");
  const extension = media === "json" ? "json" : lexed?.typed ? "mts" : "mjs";
  const folders = [url.host, ...segments.slice(-6)].map(plainName);
  return [`${index}`, ...folders, `${plainName(last)}.${extension}`].join("/");
}

function plainName(segment: string): string {
  const plain = segment.slice(0, 48).replace(/[^A-Za-z0-9._-]/g, "_").replace(/^\.+/, "_").replace(/\.+$/, "_");
  // The package scope of a `node_modules` folder changes how Node loads what is in it.
  return plain === "" || plain === "node_modules" ? "_" : plain;
}
