import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ConfigError, MessageQueueError } from "../../core/errors.ts";
import { builtinBackends } from "../../plugins/builtin.ts";
import { stripJsonComments } from "../../plugins/files.ts";
import { isSpecifier, parseImportMap, resolveFrom } from "../../plugins/import_map.ts";
import { parsePackageSpecifier, resolveExports } from "../../plugins/packages.ts";
import { hostPaths } from "../../plugins/remote/host.ts";
import { formatDigest, parseDigest, sha256 } from "../../plugins/remote/integrity.ts";
import { parseJsr } from "../../plugins/remote/jsr.ts";
import { lex } from "../../plugins/remote/lex.ts";
import { parseLock } from "../../plugins/remote/lock.ts";
import { lineMap } from "../../plugins/remote/source_map.ts";
import { addressKind, checkRemoteUrl, hideCredentials, parseHosts, showUrl } from "../../plugins/remote/url.ts";
import { editDistance, nearestName, quoteName } from "../../plugins/suggest.ts";
import { timeout } from "./helpers.ts";

const base = new URL("https://example.com/maps/map.json");

/** Runs a parser on anything at all: it may refuse only by the errors it is known for. */
function onlyConfigErrors(parse: (text: string) => unknown): (text: string) => void {
  return (text) => {
    try {
      parse(text);
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error));
    }
  };
}

describe("the built-in backends", () => {
  it("are the same in code, in the map beside it, and among what plugins may import", { timeout }, async () => {
    const text = await readFile(new URL("../../plugins/import_map.json", import.meta.url), "utf8");
    const { imports } = JSON.parse(text) as { imports: Record<string, string> };
    assert.deepEqual(Object.keys(imports), [...builtinBackends.keys()]);
    for (const [name, load] of builtinBackends) {
      const path = new URL(imports[name] ?? "", new URL("../../plugins/", import.meta.url)).href;
      assert.equal(await load(), await import(path));
      assert.ok(hostPaths.includes(`./${name}`), name);
    }
  });

  it("and the other exports of the package are what plugins get from their host", { timeout }, async () => {
    const { exports } = JSON.parse(await readFile(new URL("../../deno.json", import.meta.url), "utf8"));
    assert.deepEqual([...hostPaths].toSorted(), Object.keys(exports).filter((path) => path !== "./testing").toSorted());
  });
});

describe("import maps", () => {
  it("resolve relative specifiers against themselves, and leave names alone", () => {
    const map = parseImportMap(
      `{"imports":{"a":"./a.ts","b":"../b.ts","c":"/c.ts","d":"jsr:@x/d","e":"abe-mq-e","f/":"./f/"},"integrity":{"./a.ts":"x"},"scopes":{}}`,
      base,
      "map",
    );
    assert.deepEqual([...map.imports], [
      ["a", "https://example.com/maps/a.ts"],
      ["b", "https://example.com/b.ts"],
      ["c", "https://example.com/c.ts"],
      ["d", "jsr:@x/d"],
      ["e", "abe-mq-e"],
    ]);
    assert.deepEqual([...map.integrity], [["https://example.com/maps/a.ts", "x"]]);
  });

  it("are read or refused, whatever the text", () => {
    const parse = onlyConfigErrors((text) => parseImportMap(text, base, "map"));
    fc.assert(fc.property(fc.string(), parse));
    fc.assert(fc.property(fc.jsonValue().map((value) => JSON.stringify(value)), parse));
    const tables = fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.jsonValue()));
    fc.assert(fc.property(fc.record({ imports: tables, integrity: tables }).map((map) => JSON.stringify(map)), parse));
  });

  it("tell specifiers from names", () => {
    for (const text of ["./x", "../x", "/x", "jsr:@a/b", "npm:x", "https://x/y", "file:///x", "data:,x"]) {
      assert.ok(isSpecifier(text), text);
    }
    for (const text of ["redis", "abe-mq-x", "@acme/abe-mq-x", "a.b", ".hidden", ""]) {
      assert.ok(!isSpecifier(text), text);
    }
    assert.equal(resolveFrom("name", base), "name");
  });
});

describe("locks and digests", () => {
  it("are read or refused, whatever the text", () => {
    const parse = onlyConfigErrors((text) => parseLock(text, "lock"));
    fc.assert(fc.property(fc.string(), parse));
    const tables = fc.dictionary(fc.webUrl(), fc.oneof(fc.string(), fc.jsonValue()));
    const locks = fc.record({ version: fc.constant(1), modules: tables, redirects: tables, jsr: tables });
    fc.assert(fc.property(locks.map((lock) => JSON.stringify(lock)), parse));
    fc.assert(fc.property(fc.string(), onlyConfigErrors((text) => parseDigest(text, "it"))));
    fc.assert(fc.property(fc.string().map((text) => `jsr:${text}`), onlyConfigErrors((text) => parseJsr(text))));
  });

  it("survive being written and read", () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => {
      const hex = sha256(bytes);
      assert.deepEqual(parseDigest(formatDigest(hex), "it"), { algorithm: "sha256", hex });
      assert.deepEqual(parseDigest(`sha256-${hex}`, "it"), { algorithm: "sha256", hex });
      const url = formatDigest(hex).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
      assert.deepEqual(parseDigest(url.replace("sha256_", "sha256-"), "it"), { algorithm: "sha256", hex });
    }));
  });
});

describe("addresses", () => {
  it("are told apart by the registries of special addresses", () => {
    const kinds: Record<string, string> = {
      "example.com": "public",
      "93.184.216.34": "public",
      "[2606:2800:220:1:248:1893:25c8:1946]": "public",
      "localhost": "loopback",
      "app.localhost": "loopback",
      "localhost.": "loopback",
      "127.8.9.1": "loopback",
      "[::1]": "loopback",
      "[::ffff:127.0.0.1]": "loopback",
      "[::ffff:7f00:1]": "loopback",
      "10.1.2.3": "private",
      "172.31.255.255": "private",
      "172.32.0.1": "public",
      "192.168.0.1": "private",
      "100.64.0.1": "private",
      "[fc00::1]": "private",
      "[64:ff9b::a00:1]": "private",
      "nas.local": "private",
      "169.254.1.1": "forbidden",
      "[fe80::1]": "forbidden",
      "[ff02::1]": "forbidden",
      "[::]": "forbidden",
      "0.0.0.0": "forbidden",
      "255.255.255.255": "forbidden",
    };
    for (const [host, kind] of Object.entries(kinds)) {
      assert.equal(addressKind(new URL(`http://${host}/`).hostname), kind, host);
    }
  });

  it("of URLs are allowed or refused, whatever they are, and credentials never shown", () => {
    fc.assert(fc.property(fc.webUrl({ withQueryParameters: true, withFragments: true }), (text) => {
      const url = new URL(text);
      url.username = "user";
      url.password = "hunter2";
      url.search = "?token=hunter2";
      assert.ok(!showUrl(url).includes("hunter2"));
      assert.ok(!hideCredentials(`it failed: ${url.href.split("?")[0]}`).includes("hunter2"));
      assert.throws(() => checkRemoteUrl(url), MessageQueueError);
    }));
    assert.equal(showUrl("https://a:b@c.d/e.ts?f=g#h"), "https://c.d/e.ts?…");
    assert.equal(hideCredentials("redis://:secret@h:1/ and amqp://u:p%40w@h"), "redis://***@h:1/ and amqp://***@h");
  });

  it("of a list allow a host, a host and port, or all below a domain", () => {
    const hosts = parseHosts(["Example.com", "127.0.0.1:8000", "*.acme.dev", "[::1]:80"]);
    const allowed = [
      "https://example.com/",
      "https://example.com:8443/",
      "http://127.0.0.1:8000/",
      "https://a.b.acme.dev/",
      "http://[::1]/",
    ];
    const refused = [
      "https://sub.example.com/",
      "https://example.com.evil/",
      "http://127.0.0.1:8001/",
      "https://acme.dev/",
      "https://evilacme.dev/",
    ];
    for (const url of allowed) assert.ok(hosts.has(new URL(url)), url);
    for (const url of refused) assert.ok(!hosts.has(new URL(url)), url);
    for (const wrong of ["https://example.com", "a b", "user@host", "a/b", "*"]) {
      assert.throws(() => parseHosts([wrong]), ConfigError, wrong);
    }
    assert.ok(!parseHosts([]).has(new URL("https://example.com/")));
  });
});

describe("names", () => {
  it("that are a slip away are suggested, others not", () => {
    const known = ["memory", "sqlite", "redis"];
    for (
      const [name, near] of [["redsi", "redis"], ["Memory", "memory"], ["sqlight", "sqlite"], ["sqlite3", "sqlite"], [
        "mem",
        "memory",
      ]]
    ) {
      assert.equal(nearestName(name ?? "", known), near, name);
    }
    for (const name of ["kafka", "x", "postgres", ""]) assert.equal(nearestName(name, known), undefined, name);
  });

  it("are as far from each other as there are steps", () => {
    assert.equal(editDistance("redis", "redsi"), 1);
    assert.equal(editDistance("", "abc"), 3);
    fc.assert(fc.property(fc.string(), fc.string(), (a, b) => {
      assert.equal(editDistance(a, a), 0);
      assert.equal(editDistance(a, b), editDistance(b, a));
      assert.ok(editDistance(a, b) <= Math.max([...a].length, [...b].length));
    }));
  });

  it("are quoted without anything that could write on a terminal", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (name) => {
      for (const letter of quoteName(name)) {
        const code = letter.codePointAt(0) ?? 0;
        assert.ok(code >= 0x20 && !(code >= 0x7f && code <= 0x9f), JSON.stringify(letter));
        assert.ok(!/[\u200b-\u200f\u202a-\u202e\u2066-\u2069]/.test(letter), JSON.stringify(letter));
      }
    }));
  });
});

describe("packages", () => {
  it("are named with scope, range and part", () => {
    assert.deepEqual(parsePackageSpecifier("zod"), { name: "zod", subpath: "." });
    assert.deepEqual(parsePackageSpecifier("npm:zod@^4/mini"), { name: "zod", range: "^4", subpath: "./mini" });
    assert.deepEqual(parsePackageSpecifier("@a/b/c/d.js"), { name: "@a/b", subpath: "./c/d.js" });
    for (const wrong of ["", ".", "..", "../x", "/x", "@a", "node_modules", "a b", "x:y"]) {
      assert.equal(parsePackageSpecifier(wrong), undefined, wrong);
    }
  });

  it("export by condition and pattern, and nothing outside of themselves", () => {
    assert.equal(resolveExports("./a.js", "."), "./a.js");
    assert.equal(resolveExports({ import: "./a.mjs", require: "./a.cjs" }, "."), "./a.mjs");
    assert.equal(resolveExports({ ".": { require: "./a.cjs", default: "./a.js" } }, "."), "./a.js");
    assert.equal(resolveExports({ "./*": "./x/*.js", "./y/*": null }, "./z"), "./x/z.js");
    assert.equal(resolveExports({ "./*": "./x/*.js", "./y/*": null }, "./y/z"), undefined);
    assert.equal(resolveExports({ ".": ["not/relative", "./b.js"] }, "."), "./b.js");
    for (
      const target of ["../out.js", "./../out.js", "./node_modules/x.js", "/etc/passwd", "file:///x", "./a/..\\b.js"]
    ) {
      assert.equal(resolveExports(target, "."), undefined, target);
    }
    assert.equal(resolveExports({ "./*": "./*" }, "./../../etc/passwd"), undefined);
    assert.equal(resolveExports({ ".": "./a.js" }, "./__proto__"), undefined);
  });

  it("are listed in files with comments", () => {
    const text = `\uFEFF{ // one\n "a": "http://x/* no */", /* two */ "b": [1, 2,], "c": "\\"//", }`;
    assert.deepEqual(JSON.parse(stripJsonComments(text)), { a: "http://x/* no */", b: [1, 2], c: `"//` });
    fc.assert(fc.property(fc.jsonValue(), (value) => {
      assert.deepEqual(
        JSON.parse(stripJsonComments(JSON.stringify(value, undefined, 2))),
        JSON.parse(JSON.stringify(value)),
      );
    }));
  });
});

describe("the lexer", () => {
  const url = new URL("https://example.com/mod.ts");

  it("finds what runs and nothing that only looks like it, at its place", { timeout }, async () => {
    const source = `#!/usr/bin/env node
import type { A } from "./type_only.ts";
import { type B, c } from './mixed.ts';
export * as d from "./star.ts"; export { e } from "./named.ts"; export type { F } from "./type_export.ts";
interface G<T> { readonly a: import("./in_type.ts").X; b: T }
type H = typeof import("./typeof.ts");
const text = "import 'in_string'", template = \`import("./in_template.ts") \${await import("./in_hole.ts")}\`;
const pattern = /import "in_pattern"/g; // import "in_comment";
/* import("./in_comment.ts") */
class J<T> { static import(x: T): T { return x } from = 1; m() { return this.import?.("./method.ts"); } import?: (x: string) => string }
const k = { import: 1 }.import;
const m = await import(
  "./multi.json", { with: { type: "json" } });
import "\\u{2e}/escaped.ts";
`;
    const { code, places } = await lex(source, { typed: true, url });
    const found = places.filter((place) => place.kind === "import").map((place) => place.specifier);
    assert.deepEqual(found, [
      "./mixed.ts",
      "./star.ts",
      "./named.ts",
      "./in_hole.ts",
      "./multi.json",
      "./escaped.ts",
    ]);
    for (const place of places) {
      if (place.kind !== "import") continue;
      assert.match(code.slice(place.start, place.end), /^["'].*["']$/);
    }
    assert.equal(
      places.find((place) => place.kind === "import" && place.specifier === "./multi.json" && place.type === "json")
        ?.kind,
      "import",
    );
    assert.equal(code.length, source.length);
    assert.equal(code.split("\n").length, source.split("\n").length);
  });

  it("says the line of what does not parse", { timeout }, async () => {
    await assert.rejects(lex("\n\nconst a = 'open", { typed: false, url }), /mod\.ts:3: its code does not parse/);
  });
});

describe("source maps", () => {
  it("map every line onto itself", () => {
    const { mappings, sources } = lineMap("https://example.com/mod.ts", "a b\n\n  c.d();\n");
    assert.deepEqual(sources, ["https://example.com/mod.ts"]);
    // Decoded by hand: columns 0 and 2; none; then line 2 from column 2 on; none.
    assert.equal(
      mappings,
      "AAAA,EAAE;;EAEA,CAAC,CAAC,CAAC,CAAC,CAAC;",
    );
    const long = lineMap("x", `${"x ".repeat(200_000)}\ny`);
    assert.equal(long.mappings, "AAAA;AACA");
  });
});
