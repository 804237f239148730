/**
 * Writes what is made from other files: the template of plugins as text, `docs/configuration.md`, and the table in
 * `docs/choosing_a_backend.md`. Run it by `deno run -A cli/generate/mod.ts`; a test tells when it is due.
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { withCapabilities } from "./capabilities.ts";
import { configurationPage } from "./configuration.ts";
import { templateModule } from "./template.ts";

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/**
 * Every generated file, as it should be.
 *
 * @returns Path and text.
 */
export async function generated(): Promise<ReadonlyMap<string, string>> {
  const choosing = path("docs/choosing_a_backend.md");
  return new Map([
    [path("cli/template_files.ts"), templateModule()],
    [path("docs/configuration.md"), configurationPage()],
    [choosing, await withCapabilities(readFileSync(choosing, "utf8"))],
  ]);
}

if (import.meta.main) {
  for (const [file, text] of await generated()) writeFileSync(file, text);
}
