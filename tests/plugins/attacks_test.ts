import assert from "node:assert/strict";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import type { MessageQueueErrorCode } from "../../core/errors.ts";
import type { DiscoveryOptions } from "../../plugins/open.ts";
import { formatDigest, sha256 } from "../../plugins/remote/integrity.ts";
import { lockFileName } from "../../plugins/remote/pins.ts";
import { discover, recordingLogger, rejects, temporaryFolder, timeout } from "./helpers.ts";
import { type Answer, lineBackend, redirect, serve, typed } from "./server.ts";

const digestOf = (code: string | Uint8Array) => formatDigest(sha256(code));

// Any digest makes the loader check everything itself, on Deno as well.
const checked = { integrity: { "https://unused.invalid/": digestOf("") } };

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
}

interface Attack extends DiscoveryOptions {
  readonly answers: Record<string, Answer>;
  readonly path?: string;
  readonly code?: MessageQueueErrorCode;
  readonly says: readonly (string | RegExp)[];
}

/** Serves an attack, and asserts that it is refused, that nothing half-written is left, and that nothing of it ran. */
async function refuses(
  { answers, path = "/mod.js", code = "plugin_refused", says, ...options }: Attack,
): Promise<void> {
  await using folder = await temporaryFolder();
  await using server = await serve(answers);
  const logger = recordingLogger();
  const url = `${server.origin}${path}`;
  const error = await rejects(
    discover({ ABE_MQ_PLUGIN_URL: url }, { folder: folder.path, ...checked, ...options, logger }),
    code,
    ...says,
  );
  assert.ok(error.message.length < 2_000, "a message is for people");
  assert.deepEqual((await filesBelow(folder.path)).filter((file) => /\.tmp$|graphs/.test(file)), []);
  assert.equal("attackRan" in globalThis, false);
}

const ran = "globalThis.attackRan = true;";

/** Answers for the length of a call in place of the network, for what only public addresses show. */
async function withFetch<T>(answer: (url: string) => Response, call: () => Promise<T>): Promise<T> {
  const original = globalThis.fetch;
  globalThis.fetch = ((input: URL | string) => Promise.resolve(answer(String(input)))) as typeof fetch;
  try {
    return await call();
  } finally {
    globalThis.fetch = original;
  }
}

async function refusesPublic(answers: Record<string, Response>, ...says: readonly (string | RegExp)[]): Promise<void> {
  await using folder = await temporaryFolder();
  const asked: string[] = [];
  const answer = (url: string) => {
    asked.push(url);
    return answers[url] ?? new Response(ran, { headers: { "content-type": "text/javascript" } });
  };
  const load = () =>
    discover({ ABE_MQ_PLUGIN_URL: "https://plugins.example/mod.js" }, { folder: folder.path, ...checked });
  await withFetch(answer, () => rejects(load(), "plugin_refused", ...says));
  assert.deepEqual(asked, Object.keys(answers), "nothing else may be asked for");
}

const code = (text: string) => new Response(text, { headers: { "content-type": "text/javascript" } });
const to = (location: string) => new Response(null, { status: 302, headers: { location } });

describe("tampering", () => {
  it("one byte changed is refused", { timeout }, async () => {
    const good = lineBackend("good");
    const integrity = digestOf(good);
    await refuses({ answers: { "/mod.js": good.replace("good", "goob") }, integrity, says: ["/mod.js", sha256(good)] });
  });

  it("the digest of another file is refused", { timeout }, async () => {
    await refuses({
      answers: { "/mod.js": lineBackend("a") },
      integrity: digestOf(lineBackend("b")),
      says: ["sha256"],
    });
  });

  it("a lock with a wrong digest is refused", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("a") });
    const url = `${server.origin}/mod.js`;
    await writeFile(join(folder.path, lockFileName), JSON.stringify({ version: 1, modules: { [url]: digestOf("b") } }));
    await rejects(discover({ ABE_MQ_PLUGIN_URL: url }, { folder: folder.path }), "plugin_refused", lockFileName);
  });

  it("a lock whose redirect leads to a private address is refused", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("a") });
    const url = `${server.origin}/mod.js`;
    const lock = {
      version: 1,
      redirects: { [url]: "https://10.0.0.1/mod.js" },
      modules: { "https://10.0.0.1/mod.js": digestOf("") },
    };
    await writeFile(join(folder.path, lockFileName), JSON.stringify(lock));
    await rejects(
      discover({ ABE_MQ_PLUGIN_URL: url }, { folder: folder.path }),
      "plugin_refused",
      "10.0.0.1",
      "private",
    );
  });
});

describe("where code may come from", () => {
  it("a redirect from https down to http is refused", { timeout }, async () => {
    await refusesPublic(
      { "https://plugins.example/mod.js": to("http://plugins.example/mod.js") },
      "from `https:` down to `http:`",
    );
  });

  it("an import from https down to http is refused", { timeout }, async () => {
    const answers = { "https://plugins.example/mod.js": code(`import "http://plugins.example/other.js";`) };
    await refusesPublic(answers, "http://plugins.example/other.js", "down to");
  });

  it("http without TLS is refused for all but loopback", { timeout }, async () => {
    await using folder = await temporaryFolder();
    for (const host of ["plugins.example", "192.168.0.1", "127.0.0.1.example", "localhost.example"]) {
      await rejects(
        discover({ ABE_MQ_PLUGIN_URL: `http://${host}/mod.js` }, { folder: folder.path }),
        "plugin_refused",
        "use `https:`",
      );
    }
  });

  it("a redirect to a host that is not allowed is refused", { timeout }, async () => {
    await using other = await serve({ "/mod.js": ran });
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": redirect(`${other.origin}/mod.js`) });
    await rejects(
      discover(
        { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js`, ABE_MQ_PLUGIN_HOSTS: `jsr.io, ${server.host}` },
        { folder: folder.path },
      ),
      "plugin_refused",
      other.host,
      "ABE_MQ_PLUGIN_HOSTS",
    );
    assert.deepEqual(other.requests, []);
  });

  it("an import from a host that is not allowed is refused", { timeout }, async () => {
    await using other = await serve({ "/mod.js": "export {};" });
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("x", `import "${other.origin}/mod.js";`) });
    const variables = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` };
    await rejects(
      discover(variables, { folder: folder.path, hosts: [server.host] }),
      "plugin_refused",
      other.host,
      "not among",
    );
    await rejects(
      discover(variables, { folder: folder.path, hosts: ["jsr.io"] }),
      "plugin_refused",
      server.host,
      "jsr.io",
    );
    assert.deepEqual(other.requests, []);
    assert.equal((await discover(variables, { folder: folder.path, hosts: ["127.0.0.1"] })).name, "x");
  });

  it("a host list that a look-alike would pass is compared in punycode", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const variables = { ABE_MQ_PLUGIN_URL: "https://ex\u0430mple.com/mod.js" };
    await rejects(
      discover(variables, { folder: folder.path, hosts: ["example.com"] }),
      "plugin_refused",
      "https://xn--exmple-4nf.com/mod.js",
    );
    await rejects(
      discover(variables, { folder: folder.path, hosts: ["https://example.com/"] }),
      "config",
      "is not a host",
    );
  });

  for (
    const address of [
      "169.254.169.254",
      "[fe80::1]",
      "[::ffff:169.254.169.254]",
      "0.0.0.0",
      "2852039166",
      "0xA9FEA9FE",
      "224.0.0.1",
    ]
  ) {
    it(`a redirect to the link-local or otherwise forbidden address ${address} is refused`, { timeout }, async () => {
      await refuses({ answers: { "/mod.js": redirect(`https://${address}/latest/meta-data`) }, says: ["link-local"] });
    });
  }

  for (
    const address of [
      "10.0.0.1",
      "172.16.5.4",
      "192.168.1.1",
      "100.100.100.200",
      "[fd00::1]",
      "printer.local",
      "db.internal",
    ]
  ) {
    it(`a redirect from elsewhere to the private address ${address} is refused`, { timeout }, async () => {
      await refuses({ answers: { "/mod.js": redirect(`https://${address}/mod.js`) }, says: ["private"] });
      await refusesPublic({ "https://plugins.example/mod.js": to(`https://${address}/mod.js`) }, "private");
    });
  }

  it("what is public cannot lead to this machine, by redirect or import", { timeout }, async () => {
    await refusesPublic({ "https://plugins.example/mod.js": to("https://localhost/mod.js") }, "loopback");
    await refusesPublic({ "https://plugins.example/mod.js": code(`import "https://[::1]:8000/mod.js";`) }, "loopback");
    await refusesPublic({ "https://plugins.example/mod.js": to("https://2130706433/mod.js") }, "loopback");
  });

  it("redirects in a circle are refused", { timeout }, async () => {
    await refuses({ answers: { "/mod.js": redirect("/b.js"), "/b.js": redirect("/mod.js") }, says: ["circle"] });
  });

  it("redirects without end are refused", { timeout }, async () => {
    const answers: Record<string, Answer> = {};
    for (let n = 0; n < 20; n++) answers[n === 0 ? "/mod.js" : `/${n}.js`] = redirect(`/${n + 1}.js`);
    await refuses({ answers, says: ["redirects more than 5 times"] });
  });

  it("a redirect to nowhere is refused", { timeout }, async () => {
    await refuses({ answers: { "/mod.js": redirect("http://[") }, says: ["no usable location"] });
    await refuses({ answers: { "/mod.js": redirect("file:///etc/passwd") }, says: ["file:"] });
    await refuses({ answers: { "/mod.js": redirect(`data:text/javascript,${ran}`) }, says: ["data:"] });
  });
});

describe("what a module from a URL may import", () => {
  const forbidden = [
    ["file:", "file:///etc/passwd"],
    ["data:", `data:text/javascript,${encodeURIComponent(ran)}`],
    ["blob:", "blob:null/0"],
    ["ftp:", "ftp://example.com/x.js"],
    ["javascript:", "javascript:0"],
  ];
  for (const [scheme, specifier] of forbidden) {
    it(`nothing by ${scheme}`, { timeout }, async () => {
      for (
        const statement of [`import "${specifier}";`, `export * from "${specifier}";`, `await import("${specifier}");`]
      ) {
        await refuses({ answers: { "/mod.js": lineBackend("x", statement) }, says: [String(scheme)] });
      }
    });
  }

  it("no file by an escape, a scheme in capitals, or a path of the machine", { timeout }, async () => {
    await refuses({ answers: { "/mod.js": String.raw`import "\u0066ile:///etc/passwd";` }, says: ["file:"] });
    await refuses({ answers: { "/mod.js": `import "FILE:///etc/passwd";` }, says: ["file:"] });
    await refuses({ answers: { "/mod.js": `import "/etc/passwd";` }, code: "plugin_not_found", says: ["/etc/passwd"] });
    await refuses({ answers: { "/mod.js": `import "C:\\\\windows\\\\x.js";` }, says: ["c:"] });
  });

  it("nothing by a specifier that is computed, which could not be checked", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const file = join(folder.path, "own.mjs");
    await writeFile(file, "export const own = 1;");
    const body = lineBackend("computed").replace(
      "lines = [];",
      "lines = []; load(x) { return import(x); } glob(x) { return import(`./${x}.js`); }",
    );
    await using server = await serve({ "/mod.js": body });
    const backend = await discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` }, {
      folder: folder.path,
      ...checked,
    });
    const load = backend.load as (specifier: string) => Promise<unknown>;
    await assert.rejects(load(`file://${file}`), /computed specifier/);
    await assert.rejects((backend.glob as typeof load)("other"), /computed specifier/);
    assert.ok(await load("node:path"));
  });

  it("no other kind of module than JSON", { timeout }, async () => {
    const answers = { "/mod.js": `import text from "./x.txt" with { type: "text" };`, "/x.txt": "x" };
    await refuses({ answers, says: ["only JSON and code"] });
    await refuses({ answers: { "/mod.js": `import source x from "./x.wasm";` }, says: ["import source"] });
  });

  it("a package that the application lacks, by the command that installs it", { timeout }, async () => {
    for (const specifier of ["npm:abe-missing@^1", "abe-missing", "abe-missing/sub"]) {
      // Deno finds `npm:` packages by itself.
      if ("Deno" in globalThis && specifier.startsWith("npm:")) continue;
      const answers = { "/mod.js": `import "${specifier}";` };
      await refuses({
        answers,
        code: "plugin_not_found",
        says: [specifier, "npm install abe-missing", "bun add", "deno add"],
      });
    }
    if (!("Deno" in globalThis)) {
      const answers = { "/mod.js": `import "@jsr/acme__thing";` };
      await refuses({ answers, code: "plugin_not_found", says: ["bunx jsr add @acme/thing"] });
    }
  });
});

describe("secrets", () => {
  it("in a URL are refused and appear nowhere", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/mod.js": lineBackend("x"),
      "/to.js": redirect("http://user:hunter2@127.0.0.1:1/x.js"),
    });
    const urls = [
      `http://user:hunter2@${server.host}/mod.js`,
      `http://hunter2@${server.host}/mod.js`,
      `${server.origin}/to.js`,
    ];
    for (const url of urls) {
      const logger = recordingLogger();
      const error = await rejects(
        discover({ ABE_MQ_PLUGIN_URL: url }, { folder: folder.path, logger, ...checked }),
        "plugin_refused",
        "user name or password",
      );
      const all = [error.message, String(error.cause), error.stack, ...logger.lines.map((line) => line.message)].join(
        "\n",
      );
      assert.ok(!all.includes("hunter2"), all);
    }
  });

  it("in a query are not shown, and nothing is sent along", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({
      "/mod.js?token=hunter2": lineBackend("x", `import "./part.js?token=hunter2"; import "./none.js?token=hunter2";`),
      "/part.js?token=hunter2": "export {};",
    });
    const logger = recordingLogger();
    const error = await rejects(
      discover({ ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js?token=hunter2` }, {
        folder: folder.path,
        logger,
        ...checked,
      }),
      "plugin_not_found",
      "/none.js?…",
    );
    assert.ok(![error.message, ...logger.lines.map((line) => line.message)].join().includes("hunter2"));
    assert.equal(server.headers.length, 3);
    for (const headers of server.headers) {
      assert.equal(headers.referer, undefined);
      assert.equal(headers.authorization, undefined);
      assert.equal(headers.cookie, undefined);
    }
  });
});

describe("bodies", () => {
  it("that are no code are refused by their media type", { timeout }, async () => {
    for (const type of ["text/html", "text/html; charset=utf-8", "image/png", "application/wasm", "text/css"]) {
      await refuses({
        answers: { "/mod.js": typed(type, lineBackend("x", ran)) },
        says: [type.split(";")[0] ?? "", "not code"],
      });
    }
    const answers = {
      "/mod.js": `import x from "./x.json" with { type: "json" };`,
      "/x.json": typed("text/javascript", "{}"),
    };
    await refuses({ answers, says: ["not JSON"] });
    await refuses({ answers: { ...answers, "/x.json": "{" }, code: "plugin_failed", says: ["is not JSON"] });
  });

  it("that are not UTF-8 are refused", { timeout }, async () => {
    const bytes: Answer = (_request, response) =>
      response.writeHead(200, { "content-type": "text/javascript" }).end(Uint8Array.of(0x2f, 0x2f, 0xff, 0xfe));
    await refuses({ answers: { "/mod.js": bytes }, code: "plugin_failed", says: ["UTF-8"] });
  });

  it("that never end are cut off", { timeout }, async () => {
    let stopped = false;
    const endless: Answer = (_request, response) => {
      response.writeHead(200, { "content-type": "text/javascript" });
      const chunk = "// ".padEnd(65_536, "x");
      const more = () => {
        while (!stopped && response.write(chunk));
        if (!stopped) response.once("drain", more);
      };
      response.once("close", () => stopped = true);
      more();
    };
    await refuses({
      answers: { "/mod.js": endless },
      limits: { moduleBytes: 1_000_000 },
      says: ["larger than 1000000 bytes"],
    });
    assert.ok(stopped, "the connection is let go of");
  });

  it("that say they are huge are not even read", { timeout }, async () => {
    const huge: Answer = (_request, response) =>
      response.writeHead(200, { "content-type": "text/javascript", "content-length": "99999999999" }).flushHeaders();
    await refuses({ answers: { "/mod.js": huge }, says: ["larger than 8388608 bytes"] });
  });

  it("that blow up when unpacked are cut off", { timeout }, async () => {
    const bomb = gzipSync(new Uint8Array(200_000_000));
    const zipped: Answer = (_request, response) =>
      response.writeHead(200, { "content-type": "text/javascript", "content-encoding": "gzip" }).end(bomb);
    await refuses({ answers: { "/mod.js": zipped }, says: ["larger than 8388608 bytes"] });
  });

  it("that stall half-way are given up", { timeout }, async () => {
    const stalls: Answer = (_request, response) =>
      response.writeHead(200, { "content-type": "text/javascript", "content-length": "1000" }).write("// half");
    await refuses({ answers: { "/mod.js": stalls }, limits: { stallMs: 200 }, code: "timeout", says: ["200 ms"] });
  });

  it("that drip without end are given up", { timeout }, async () => {
    const drips: Answer = (_request, response) => {
      response.writeHead(200, { "content-type": "text/javascript" });
      const timer = setInterval(() => response.write("/"), 20);
      response.once("close", () => clearInterval(timer));
    };
    await refuses({ answers: { "/mod.js": drips }, timeoutMs: 500, code: "timeout", says: ["500 ms"] });
  });

  it("that break off are refused", { timeout }, async () => {
    const breaks: Answer = (_request, response) => {
      response.writeHead(200, { "content-type": "text/javascript", "content-length": "1000" }).write("// half");
      setTimeout(() => response.destroy(), 20);
    };
    await refuses({ answers: { "/mod.js": breaks }, code: "plugin_not_found", says: ["cannot be reached"] });
  });
});

describe("graphs", () => {
  const many = (count: number) => Array.from({ length: count }, (_, n) => `import "./${n}.js";`).join("\n");

  it("of ten thousand imports are refused before they are fetched", { timeout }, async () => {
    await refuses({ answers: { "/mod.js": many(10_000) }, says: ["more than 1000 imports"] });
  });

  it("of ten thousand modules are refused", { timeout }, async () => {
    const answers: Record<string, Answer> = { "/mod.js": many(60) };
    for (let n = 0; n < 60; n++) {
      answers[`/${n}.js`] = Array.from({ length: 60 }, (_, m) => `import "./${n}-${m}.js";`).join("");
    }
    for (let n = 0; n < 60; n++) for (let m = 0; m < 60; m++) answers[`/${n}-${m}.js`] = "export {};";
    await refuses({ answers, says: ["more than 1000 modules"] });
  });

  it("without a bottom are refused", { timeout }, async () => {
    const answers: Record<string, Answer> = { "/mod.js": `import "./0.js";` };
    for (let n = 0; n < 200; n++) answers[`/${n}.js`] = `import "./${n + 1}.js";`;
    await refuses({ answers, says: ["nested more than 64 deep"] });
  });

  it("that are large altogether are refused", { timeout }, async () => {
    const answers: Record<string, Answer> = { "/mod.js": many(20) };
    for (let n = 0; n < 20; n++) answers[`/${n}.js`] = "//".padEnd(10_000, "x");
    await refuses({ answers, limits: { graphBytes: 100_000 }, says: ["larger than 100000 bytes"] });
  });
});

describe("names", () => {
  it("of a map that are members of every object are names like any other", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("named") });
    const map =
      `{"imports":{"__proto__":"${server.origin}/mod.js","constructor":"${server.origin}/mod.js"},"__proto__":{"imports":{"evil":"x"}}}`;
    await writeFile(join(folder.path, "map.json"), map);
    const options = { folder: folder.path };
    for (const name of ["__proto__", "constructor"]) {
      assert.equal(
        (await discover({ ABE_MQ_PLUGINS: "map.json", MESSAGE_QUEUE_BACKEND: name }, options)).name,
        "named",
      );
    }
    await rejects(discover({ ABE_MQ_PLUGINS: "map.json", MESSAGE_QUEUE_BACKEND: "evil" }, options), "plugin_not_found");
    assert.equal(({} as Record<string, unknown>).imports, undefined);
  });

  it("of a lock that are members of every object pin nothing", { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await serve({ "/mod.js": lineBackend("x") });
    await writeFile(
      join(folder.path, lockFileName),
      `{"version":1,"__proto__":{"modules":{"${server.origin}/mod.js":"sha256-x"}}}`,
    );
    const variables = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` };
    await rejects(discover(variables, { folder: folder.path, frozen: true }), "plugin_refused", "frozen");
  });

  it("of a map from a URL cannot stand for files", { timeout }, async () => {
    await using folder = await temporaryFolder();
    for (const target of ["file:///etc/passwd", "data:text/javascript,0", "/etc/../x", "node:fs"]) {
      await using server = await serve({ "/map.json": JSON.stringify({ imports: { x: target } }) });
      const variables = { ABE_MQ_PLUGINS: `${server.origin}/map.json`, MESSAGE_QUEUE_BACKEND: "x" };
      const refused = discover(variables, { folder: folder.path });
      if (target.startsWith("/")) await rejects(refused, "plugin_not_found", server.host);
      else await rejects(refused, "plugin_refused", 'maps "x"');
    }
  });

  it("that look like others are told apart in the error", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const options = { folder: folder.path };
    for (const [name, letter] of [["r\u0435dis", "U+0435"], ["memory\u200b", "U+200B"], ["\u202eyromem", "U+202E"]]) {
      const error = await rejects(
        discover({ MESSAGE_QUEUE_BACKEND: name ?? "" }, options),
        "plugin_not_found",
        letter ?? "",
      );
      assert.ok(!/[\u200b\u202e]/.test(error.message), "nothing invisible reaches the terminal");
    }
  });
});

describe("paths in URLs", () => {
  it("cannot leave the cache, whatever they hold", { timeout }, async () => {
    await using folder = await temporaryFolder();
    const paths = [
      "/%2e%2e/%2e%2e/up.js",
      "/..%2f..%2f..%2fup.js",
      "/..%5c..%5cup.js",
      "/a%00b.js",
      "/.hidden.js",
      "/node_modules/x/package.json.js",
      "/con.js",
      "/trailing./dots..js",
      `/${"long".repeat(200)}.js`,
      "/quote'\"`$(x);.js",
      "/new%0aline.js",
      "/%E2%80%A8separator.js",
      "/double//slash.js",
    ];
    for (const path of paths) {
      await using server = await serve({});
      server.answers.set(new URL(`${server.origin}${path}`).pathname, lineBackend("inside", `import "./other.js";`));
      server.answers.set(new URL("./other.js", new URL(`${server.origin}${path}`)).pathname, "export {};");
      const variables = { ABE_MQ_PLUGIN_URL: `${server.origin}${path}` };
      assert.equal((await discover(variables, { folder: folder.path, ...checked })).name, "inside", path);
    }
    const files = await filesBelow(folder.path);
    assert.ok(files.length >= paths.length * 2);
    for (const file of files) {
      assert.match(file.slice(folder.path.length), /^\/cache\/(?:bodies|graphs\/[0-9a-f]{64})\/[\w./-]+$/);
    }
    assert.ok(files.every((file) => !/\/\.\.?\/|\/\./.test(file.slice(folder.path.length))));
  });
});

describe("the cache folder", () => {
  it("that is a link, or has a link in it, is refused", { timeout }, async () => {
    await using server = await serve({ "/mod.js": lineBackend("x", ran) });
    const variables = { ABE_MQ_PLUGIN_URL: `${server.origin}/mod.js` };
    for (const link of ["cache", "cache/graphs", "cache/bodies"]) {
      await using folder = await temporaryFolder();
      await mkdir(join(folder.path, "elsewhere"));
      if (link !== "cache") await mkdir(join(folder.path, "cache"), { mode: 0o700 });
      await symlink(join(folder.path, "elsewhere"), join(folder.path, link));
      await rejects(discover(variables, { folder: folder.path, ...checked }), "plugin_refused", link, "is a link");
      assert.deepEqual(await readdir(join(folder.path, "elsewhere")), []);
    }
  });
});
