/**
 * Importing what a specifier stands for, wherever it is.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { ConfigError, describeError, MessageQueueError } from "../core/errors.ts";
import { isPermitted, runtime } from "../core/runtime.ts";
import { isAbsent } from "./files.ts";
import { resolveFrom } from "./import_map.ts";
import { parsePackageSpecifier, resolvePackage } from "./packages.ts";
import { hideCredentials, showUrl } from "./remote/url.ts";
import type { RemoteSettings } from "./settings.ts";
import { installCommands } from "./sources.ts";
import { quoteName } from "./suggest.ts";

/**
 * Imports a module.
 *
 * @param specifier A URL, a path, a `jsr:` or `npm:` specifier, or the name of an installed package.
 * @param settings How code from URLs is loaded.
 * @param asked What asked for it, for messages.
 * @returns The module's namespace.
 * @throws {MessageQueueError} `plugin_not_found`, `plugin_failed`, `plugin_refused`, `timeout`.
 */
export async function loadSpecifier(specifier: string, settings: RemoteSettings, asked: string): Promise<unknown> {
  const trimmed = specifier.trim();
  if (trimmed.startsWith("/") && !URL.canParse(trimmed, settings.base)) {
    throw new ConfigError([`${quoteName(trimmed)} (asked for by ${asked}) is not a path`]);
  }
  const absolute = resolveFrom(trimmed, settings.base);
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(absolute)?.[1]?.toLowerCase();
  switch (scheme) {
    case "http":
    case "https":
      if (!URL.canParse(absolute)) throw new ConfigError([`${quoteName(hideCredentials(absolute))} is not a URL`]);
      // Written the one way that every table of digests uses.
      return await loadRemote(new URL(absolute).href, settings, asked);
    case "jsr":
      return await loadRemote(absolute, settings, asked);
    case "file":
      return await loadFile(absolute, settings, asked);
    case "npm":
    case undefined:
      return await loadPackage(absolute, settings, asked);
    case "data":
      return await importModule(absolute, { specifier, asked, timeoutMs: settings.timeoutMs });
    default: {
      const { badScheme } = await import("./remote/load.ts");
      throw badScheme(absolute);
    }
  }
}

async function loadRemote(specifier: string, settings: RemoteSettings, asked: string): Promise<unknown> {
  const remote = await import("./remote/load.ts");
  const entry = remote.splitDigest(specifier);
  const pinned = await remote.strictness(entry, settings);
  const { timeoutMs, logger } = settings;
  remote.warnUnpinned(entry, pinned, settings);
  if (remote.importsUrls && !remote.mustCheck(pinned, settings)) {
    if (!specifier.startsWith("jsr:")) {
      const { checkRemoteUrl } = await import("./remote/url.ts");
      checkImportPermission(checkRemoteUrl(new URL(entry.specifier)));
    }
    logger.debug(`Importing ${showUrl(entry.specifier)} by Deno itself`);
    return await importModule(entry.specifier, { specifier, asked, timeoutMs });
  }
  const file = await remote.prepareRemote(entry, pinned, settings);
  return await importModule(file, { specifier, asked, timeoutMs });
}

async function loadFile(specifier: string, settings: RemoteSettings, asked: string): Promise<unknown> {
  const url = new URL(specifier);
  if (await isAbsent(url)) {
    throw new MessageQueueError(
      "plugin_not_found",
      `Cannot find the backend module ${fileURLToPath(url)} (asked for by ${asked}): there is no such file`,
    );
  }
  return await importModule(url.href, { specifier, asked, timeoutMs: settings.timeoutMs });
}

async function loadPackage(specifier: string, settings: RemoteSettings, asked: string): Promise<unknown> {
  const parts = parsePackageSpecifier(specifier);
  if (parts === undefined) {
    throw new ConfigError([
      `${quoteName(specifier)} (asked for by ${asked}) is neither a URL nor the name of a package`,
    ]);
  }
  let found: string | undefined;
  try {
    found = await resolvePackage(parts, settings.base);
  } catch (error) {
    throw new MessageQueueError(
      "plugin_failed",
      `Cannot load ${specifier} (asked for by ${asked}): ${describeError(error)}`,
      {
        cause: error,
      },
    );
  }
  // Deno knows further places: its own cache of packages, and the application's import map.
  if (found === undefined && runtime !== "deno") throw notInstalled(specifier, parts.name, asked);
  return await importModule(found ?? specifier, { specifier, asked, timeoutMs: settings.timeoutMs });
}

function notInstalled(specifier: string, name: string, asked: string, cause?: unknown): MessageQueueError {
  return new MessageQueueError(
    "plugin_not_found",
    `Cannot find the package ${quoteName(specifier)} (asked for by ${asked}): it is not installed. Add it by ${
      installCommands(name)
    }`,
    { cause },
  );
}

// Where Deno lets programs import from without a flag (https://docs.deno.com/runtime/fundamentals/security/#importing-from-the-web);
// its permissions do not list them.
const importableHosts = new Set([
  "deno.land",
  "jsr.io",
  "esm.sh",
  "raw.esm.sh",
  "cdn.jsdelivr.net",
  "raw.githubusercontent.com",
  "gist.githubusercontent.com",
]);

// Asked beforehand, as Deno would prompt on a terminal.
function checkImportPermission(url: URL): void {
  const host = `${url.hostname}:${url.port || (url.protocol === "https:" ? 443 : 80)}`;
  if (isPermitted({ name: "import", host }) || importableHosts.has(url.host)) return;
  throw importRefused(showUrl(url), host);
}

function importRefused(shown: string, host: string, cause?: unknown): MessageQueueError {
  return new MessageQueueError(
    "plugin_refused",
    `Cannot load ${shown}: this program may not import code from ${host}; allow it by \`--allow-import=${host}\``,
    { cause },
  );
}

interface ImportDetails {
  readonly specifier: string;
  readonly asked: string;
  readonly timeoutMs: number;
}

async function importModule(url: string, details: ImportDetails): Promise<unknown> {
  const shown = showUrl(details.specifier);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new MessageQueueError("timeout", `Cannot load ${shown}: it was not ready within ${details.timeoutMs} ms`),
        ),
      details.timeoutMs,
    );
  });
  try {
    return await Promise.race([import(url), late]);
  } catch (error) {
    throw explain(error, shown, details);
  } finally {
    clearTimeout(timer);
  }
}

function explain(error: unknown, shown: string, { specifier, asked }: ImportDetails): unknown {
  if (error instanceof MessageQueueError) return error;
  const text = hideCredentials(describeError(error)).trim();
  const host = /Requires import access to "([^"]+)"/.exec(text)?.[1];
  if (host !== undefined) return importRefused(shown, host, error);
  const isFetching =
    /^(?:Module not found "|Import '[^']*' failed|error sending request|JSR package manifest|.*\bnot found in registry)/i
      .test(text);
  if (runtime === "deno" && isFetching && /^https?:|^jsr:/i.test(specifier)) {
    return new MessageQueueError("plugin_not_found", `Cannot load ${shown} (asked for by ${asked}): ${text}`, {
      cause: error,
    });
  }
  const isBare = !/^[a-z][a-z0-9+.-]*:|^\.{0,2}\//i.test(specifier) || specifier.startsWith("npm:");
  const name = isBare ? parsePackageSpecifier(specifier)?.name : undefined;
  if (
    runtime === "deno" && name !== undefined &&
    /not a dependency|not prefixed with|Could not (?:find|resolve)|not found|not exist/.test(text)
  ) return notInstalled(specifier, name, asked, error);
  const kind = isSyntax(error, text) ? "its code does not parse" : "its code failed while it was loaded";
  const hint = /export named|Export named|no exported|not found in module/.test(text)
    ? ". A type must be imported as one: `import type`"
    : "";
  return new MessageQueueError(
    "plugin_failed",
    `Cannot load ${shown} (asked for by ${asked}): ${kind}. ${text}${hint}`,
    {
      cause: error,
    },
  );
}

function isSyntax(error: unknown, text: string): boolean {
  const name = typeof error === "object" && error !== null ? String((error as { name?: unknown }).name) : "";
  return name === "SyntaxError" || name === "BuildMessage" ||
    /^SyntaxError\b|could not be parsed|does not provide an export/.test(text);
}
