/**
 * What a specifier inside a remote module stands for.
 *
 * @module
 */

import { isBuiltin } from "node:module";
import { describeError, MessageQueueError } from "../../core/errors.ts";
import { runtime } from "../../core/runtime.ts";
import { parsePackageSpecifier, resolvePackage } from "../packages.ts";
import { installCommands } from "../sources.ts";
import { quoteName } from "../suggest.ts";
import { showUrl } from "./url.ts";

/** Where an import leads. */
export type Target =
  /** A module of the graph, not yet checked. */
  | { readonly kind: "remote"; readonly url: URL }
  /** A package of the JSR registry. */
  | { readonly kind: "jsr"; readonly specifier: string }
  /** This package: the instance that runs. */
  | { readonly kind: "host"; readonly path: string }
  /** Something that the runtime finds by this specifier. */
  | { readonly kind: "local"; readonly specifier: string };

// The package by its own name, as `jsr:`, and by the name it has on JSR's npm registry.
const host = /^(?:jsr:\/?@abe\/mq|@abe\/mq|(?:npm:\/?)?@jsr\/abe__mq)(?:@[^/]*)?(\/.*)?$/;

/**
 * Resolves a specifier.
 *
 * @param specifier As written in the module.
 * @param from The module's URL.
 * @param base The application's folder, from which packages are resolved.
 * @returns Where it leads.
 * @throws {MessageQueueError} `plugin_refused` for what a module from a URL may not import, `plugin_not_found` for a package that the
 *   application lacks, with the command that installs it.
 */
export async function resolveSpecifier(specifier: string, from: URL, base: URL): Promise<Target> {
  const own = host.exec(specifier);
  if (own !== null) return { kind: "host", path: own[1] === undefined || own[1] === "/" ? "." : `.${own[1]}` };
  if (specifier.startsWith("jsr:")) return { kind: "jsr", specifier };
  if (specifier.startsWith("npm:")) return await fromApplication(specifier, from, base);
  if (isBuiltin(specifier) || (runtime === "bun" && /^bun(?::|$)/.test(specifier))) {
    return {
      kind: "local",
      specifier: specifier.includes(":") || specifier === "bun" ? specifier : `node:${specifier}`,
    };
  }
  if (/^\.{0,2}\//.test(specifier) || /^[a-z][a-z0-9+.-]*:/i.test(specifier)) {
    if (!URL.canParse(specifier, from)) throw refused(specifier, from, "it is not a URL");
    const url = new URL(specifier, from);
    if (url.protocol === "https:" || url.protocol === "http:") return { kind: "remote", url };
    throw refused(
      specifier,
      from,
      `a module from a URL may import \`https:\`, \`jsr:\`, \`npm:\` and \`node:\` only, not \`${url.protocol}\``,
    );
  }
  return await fromApplication(specifier, from, base);
}

async function fromApplication(specifier: string, from: URL, base: URL): Promise<Target> {
  const parts = parsePackageSpecifier(specifier);
  if (parts === undefined) throw refused(specifier, from, "it is neither a URL nor the name of a package");
  let found: string | undefined;
  try {
    found = await resolvePackage(parts, base);
  } catch (error) {
    throw new MessageQueueError(
      "plugin_failed",
      `Cannot load ${showUrl(from)}, which imports ${quoteName(specifier)}: ${describeError(error)}`,
      { cause: error },
    );
  }
  if (found !== undefined) return { kind: "local", specifier: found };
  if (runtime === "deno") {
    // Deno fetches packages by itself; a bare name is looked up in the application's import map.
    if (specifier.startsWith("npm:")) return { kind: "local", specifier };
    const mapped = viaImportMap(specifier);
    if (mapped !== undefined) return { kind: "local", specifier: mapped };
  }
  const registry = parts.name.startsWith("@jsr/") ? "jsr" : "npm";
  const name = registry === "jsr" ? parts.name.replace(/^@jsr\/([a-z0-9-]+)__/, "@$1/") : parts.name;
  throw new MessageQueueError(
    "plugin_not_found",
    `Cannot load ${showUrl(from)}: it imports ${
      quoteName(specifier)
    }, which comes from the application and is not installed there. ` +
      `Add it by ${installCommands(name, registry)}`,
  );
}

function viaImportMap(specifier: string): string | undefined {
  try {
    return import.meta.resolve(specifier);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function refused(specifier: string, from: URL, why: string): MessageQueueError {
  const shown = specifier.length > 120 ? `${specifier.slice(0, 120)}…` : specifier;
  return new MessageQueueError(
    "plugin_refused",
    `Cannot load ${showUrl(from)}: it imports ${quoteName(showUrl(shown))}, and ${why}`,
  );
}
