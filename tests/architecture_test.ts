import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { findViolations } from "./architecture/rules.ts";
import { filesUnder } from "./gate/files.ts";
import { root } from "./process.ts";

const timeout = 120_000;

function readJson(path: string): Record<string, Record<string, string>> {
  return JSON.parse(readFileSync(join(root, path), "utf8"));
}

const own = Object.fromEntries(
  Object.entries(readJson("deno.json")["exports"] ?? {}).map(([name, path]) => [name.replace(/^\./, "@abe/mq"), path]),
);

describe("the library", () => {
  it("keeps to its architecture", { timeout }, () => {
    const files = filesUnder(".ts", ["mod.ts", "core", "backends", "plugins", "testing", "codecs", "otel"]);
    const sources = new Map(files.map((path) => [path, readFileSync(join(root, path), "utf8")]));
    assert.ok(sources.has("mod.ts") && sources.has("core/runtime.ts"), "the sources must be found");
    assert.deepEqual(findViolations(sources, own), []);
  });

  it("has the same names and versions for npm as for JSR", { timeout }, () => {
    const deno = readJson("deno.json");
    const npm = readJson("package.json");
    assert.deepEqual(npm["exports"], deno["exports"]);
    const wanted = new Map<string, string>();
    for (const specifier of Object.values(deno["imports"] ?? {})) {
      const [, name, version] = /^npm:(@?[^@]+)@(.+)$/.exec(specifier) ?? [];
      if (name !== undefined && version !== undefined) wanted.set(name, version);
    }
    const versions = { ...npm["devDependencies"], ...npm["dependencies"] };
    for (const [name, version] of wanted) assert.equal(versions[name], version, name);
  });

  it("names no package by an entry that is missing", { timeout }, () => {
    for (const [name, path] of Object.entries(own)) assert.ok(existsSync(join(root, path)), `${name}: ${path}`);
  });
});

// Each breaks one rule; a checker that finds nothing in it checks nothing.
const counterexamples: readonly (readonly [rule: string, sources: Record<string, string>, expected: RegExp])[] = [
  ["core/ imports core/ alone", { "core/a.ts": `import "../plugins/open.ts";` }, /core\/ imports nothing outside/],
  ["core/ exports from core/ alone", { "core/a.ts": `export * from "../backends/a.ts";` }, /nothing outside core/],
  ["core/ imports no types from outside", { "core/a.ts": `import type { A } from "zod";` }, /nothing outside core/],
  ["core/ names no types from outside", { "core/a.ts": `type A = import("npm:zod").A;` }, /nothing outside core/],
  ["core/ imports no builtin", { "core/a.ts": `import "node:fs";` }, /nothing outside core/],
  ["core/ loads nothing lazily", { "core/a.ts": `await import("../backends/a.ts");` }, /loads backends\/a\.ts/],
  ["core/ computes no import", { "core/a.ts": `await import(name);` }, /loads a computed name/],
  [
    "there is no circle",
    { "core/a.ts": `import "./b.ts";`, "core/b.ts": `export * from "./c.ts";`, "core/c.ts": `import "./a.ts";` },
    /core\/a\.ts -> core\/b\.ts -> core\/c\.ts -> core\/a\.ts/,
  ],
  [
    "there is no circle of types",
    { "backends/a/x.ts": `import type { Y } from "./y.ts";`, "backends/a/y.ts": `import type { X } from "./x.ts";` },
    /circle/,
  ],
  ["a backend imports no other", { "backends/a.ts": `import "./b.ts";` }, /never imports another/],
  ["a backend's folder imports no other", { "backends/a/x.ts": `import "../b/x.ts";` }, /never imports another/],
  ["a backend imports no plugins/", { "backends/a.ts": `import "../plugins/open.ts";` }, /imports core\/, its client/],
  ["a backend imports no mod.ts", { "backends/a.ts": `import "@abe/mq";` }, /imports core\/, its client/],
  ["a backend has its own client alone", { "backends/sqlite.ts": `import "redis";` }, /sqlite may import zod/],
  [
    "a client by its npm: name is the same",
    { "backends/redis.ts": `import "npm:ioredis@5";` },
    /may import zod, redis/,
  ],
  ["plugins/ loads backends lazily", { "plugins/a.ts": `import "../backends/a.ts";` }, /loads backends lazily/],
  ["plugins/ loads packages lazily", { "plugins/a.ts": `import semver from "semver";` }, /loads packages lazily/],
  ["plugins/ imports no testing/", { "plugins/a.ts": `import "../testing/mod.ts";` }, /plugins\/ imports core/],
  ["testing/ imports mod.ts alone", { "testing/a.ts": `import "../core/keys.ts";` }, /testing\/ imports mod\.ts/],
  ["a package imports no file of another", { "codecs/a.ts": `import "../core/keys.ts";` }, /imports @abe\/mq by name/],
  ["a package imports no other", { "otel/a.ts": `import "../codecs/mod.ts";` }, /imports @abe\/mq by name/],
  ["a package imports no library but its own", { "otel/a.ts": `import "devalue";` }, /and @opentelemetry\/api/],
  ["a package imports no builtin", { "codecs/a.ts": `import "node:buffer";` }, /and devalue, @msgpack/],
  ["nothing imports a package", { "plugins/a.ts": `await import("../codecs/mod.ts");` }, /nothing imports codecs/],
  ["nothing imports tests/", { "plugins/a.ts": `import "../tests/wait.ts";` }, /nothing imports tests/],
  ["nothing loads bench/", { "plugins/a.ts": `await import("../bench/mod.ts");` }, /nothing imports bench/],
  ["nothing imports examples/", { "testing/a.ts": `export * from "../examples/a.ts";` }, /nothing imports examples/],
  ["nothing comes from JSR", { "backends/a.ts": `import "jsr:@std/async@^1";` }, /nothing from JSR/],
  ["nothing comes from @std", { "plugins/a.ts": `await import("@std/dotenv");` }, /nothing from JSR/],
  ["no URL is imported", { "plugins/a.ts": `import "https://example.com/mod.ts";` }, /imports no URL/],
  [
    "mod.ts needs no registry",
    { "mod.ts": `export { a } from "./plugins/a.ts";`, "plugins/a.ts": `import "zod";` },
    /plugins\/a\.ts makes mod\.ts need zod/,
  ],
  [
    "mod.ts loads no backend",
    { "mod.ts": `export { a } from "./core/a.ts";`, "core/a.ts": `import "../backends/a.ts";` },
    /makes mod\.ts load backends\/a\.ts/,
  ],
  ["mod.ts holds no code", { "mod.ts": `export const a = 1;` }, /more than exports/],
  ["mod.ts exports no testing/", { "mod.ts": `export * from "./testing/a.ts";` }, /core\/ and plugins\/ alone/],
  ["Deno is for core/runtime.ts", { "backends/a.ts": `Deno.cwd();` }, /mentions Deno/],
  ["Bun is too, as a type", { "core/a.ts": `type A = typeof Bun;` }, /mentions Bun/],
  ["process is too", { "plugins/a.ts": `const { env } = process;` }, /mentions process/],
  ["globalThis.Deno is too", { "core/a.ts": `const d = (globalThis as { Deno?: object }).Deno;` }, /mentions Deno/],
  ["globalThis[Bun] is too", { "core/a.ts": `const b = globalThis["Bun"];` }, /mentions Bun/],
  ["asking for one is too", { "core/a.ts": `const deno = "Deno" in globalThis;` }, /mentions Deno/],
  ["node:process is too", { "backends/a.ts": `import process from "node:process";` }, /knows the process/],
  ["no enum", { "core/a.ts": `enum A { B }` }, /cannot be erased: enum/],
  ["no namespace", { "core/a.ts": `namespace A { export const b = 1; }` }, /erased: namespace/],
  ["no parameter property", { "core/a.ts": `class A { constructor(readonly b: 1) {} }` }, /parameter property/],
];

describe("the architecture's checker", () => {
  for (const [rule, sources, expected] of counterexamples) {
    it(`sees where it is broken that ${rule}`, { timeout }, () => {
      const found = findViolations(new Map(Object.entries(sources)), own);
      assert.ok(found.some((each) => expected.test(each)), `found only: ${found.join("; ")}`);
    });
  }

  it("is content with what is allowed", { timeout }, () => {
    const sources = {
      "mod.ts": `export { a } from "./core/a.ts";\nexport type { B } from "./plugins/b.ts";`,
      "core/a.ts": `import type { C } from "./c.ts";\nexport const a = { process: 1, Deno: 2 }.process;`,
      "core/c.ts":
        `/** Not for Deno or Bun alone; see process. */\nexport function c(process: () => void) { process(); }`,
      "core/runtime.ts": `export const runtime = globalThis.Deno ? "deno" : "node";`,
      "backends/redis.ts":
        `import { createClient } from "redis";\nimport { z } from "npm:zod@^4";\nimport "../core/a.ts";`,
      "backends/sqlite/mod.ts": `import "node:sqlite";\nimport "./schema.ts";\nimport "../../core/a.ts";`,
      "backends/sqlite/schema.ts": `declare enum Erased { A }\nexport {};`,
      "plugins/b.ts":
        `import "node:fs";\nawait import("../backends/redis.ts");\nawait import("semver");\nawait import(String(1));`,
      "codecs/a.ts": `import { a } from "@abe/mq";\nimport { parse } from "devalue";\nimport "./b.ts";`,
      "testing/mod.ts": `import { a } from "@abe/mq";\nimport assert from "node:assert/strict";`,
    };
    assert.deepEqual(findViolations(new Map(Object.entries(sources)), own), []);
  });
});
