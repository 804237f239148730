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
  for (const { links } of modules) {
    for (const link of links) {
      if (link.kind !== "host" || hosts.has(link.path)) continue;
      const path = `host/${hosts.size}.mjs`;
      hosts.set(link.path, path);
      files.set(path, await hostModule(link.path));
    }
  }
  for (const [index, module] of modules.entries()) {
    const own = paths[index] ?? "";
    const specifierOf = (link: Link | undefined): string => {
      switch (link?.kind) {
        case "module":
          return relative(own, paths[link.index] ?? "");
        case "host":
          return relative(own, hosts.get(link.path) ?? "");
        case "local":
          return link.specifier;
        default:
          return broken(link?.kind === "broken" ? link.reason : "it was not loaded");
      }
    };
    files.set(own, rewrite(module, specifierOf));
  }
  return { files, entry: paths[0] ?? "" };
}

function rewrite(module: GraphModule, specifierOf: (link: Link | undefined) => string): string {
  const { lexed, links, source, url } = module;
  if (lexed === undefined) return source;
  const { code, places } = lexed;
  const parts: string[] = [];
  let at = 0;
  let link = 0;
  for (const place of places) {
    parts.push(code.slice(at, place.start));
    if (place.kind === "import") {
      const old = code.slice(place.start, place.end);
      parts.push(JSON.stringify(specifierOf(links[link++])), newlines(old));
    } else if (place.kind === "computed") parts.push(computedImport);
    else parts.push(JSON.stringify(url.href), newlines(code.slice(place.start, place.end)));
    at = place.end;
  }
  parts.push(code.slice(at));
  return parts.join("") + trailer(url, code);
}

// So that every line stays where it was.
function newlines(text: string): string {
  return "\n".repeat(text.split("\n").length - 1);
}

// What makes stack traces name the URL: V8 takes `sourceURL`, Deno only a source map; Bun takes neither, and shows the path of the
// file, in which the URL can be read.
function trailer(url: URL, code: string): string {
  if (runtime === "node") return `\n//# sourceURL=${showUrl(url)}\n`;
  if (runtime !== "deno") return "\n";
  const map = btoa(JSON.stringify(lineMap(showUrl(url), code)));
  return `\n//# sourceMappingURL=data:application/json;base64,${map}\n`;
}

function relative(from: string, to: string): string {
  const path = posix.relative(posix.dirname(from), to);
  return path.startsWith(".") ? path : `./${path}`;
}

function broken(reason: string): string {
  const code = `throw Object.assign(new Error(${JSON.stringify(reason)}), { code: "ERR_MODULE_NOT_FOUND" });`;
  return `data:text/javascript,${encodeURIComponent(code)}`;
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
