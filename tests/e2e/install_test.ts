import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { type Result, root, run, runtimePath, thisRuntime } from "../process.ts";
import { registry } from "./registry/handler.ts";
import { pack, type Packed, readPackage } from "./registry/pack.ts";
import { serveHandler } from "./registry/serve.ts";

const timeout = 300_000;

/** All that the package may bring with it: checking of settings, reading of modules and versions, and the client of Redis. */
const allowed = ["es-module-lexer", "redis", "semver", "zod"];
/** What the client of Redis consists of. */
const ofRedis = /^(?:@redis\/|cluster-key-slot$)/;

/** A backend published as a package of its own: it imports a class and types of its host. */
const plugin = `
import { ConfigError, type Env, type MessageQueueBackend, type Payload } from "jsr:@abe/mq@^0.1";
import { Lines } from "./lines.ts";

export default class LineBackend implements MessageQueueBackend {
  readonly error: ConfigError = new ConfigError(["from the plugin"]);
  readonly ErrorClass: typeof ConfigError = ConfigError;
  readonly #lines: Lines = new Lines();
  static fromEnv(env: Env): LineBackend {
    if (env.get("LINE_FAILS") !== undefined) throw new ConfigError(["LINE_FAILS is set"]);
    return new LineBackend();
  }
  async publish(_key: string, payload: Payload): Promise<void> {
    this.#lines.push(payload);
  }
  async *consume(): AsyncGenerator<Payload> {
    for (const payload of this.#lines.take()) yield payload;
  }
}
`;
const lines = `
import type { Payload } from "jsr:@abe/mq@^0.1";
export class Lines {
  #kept: Payload[] = [];
  push(payload: Payload): void {
    this.#kept.push(payload);
  }
  take(): Payload[] {
    return this.#kept.splice(0);
  }
}
`;

/** The application: strict TypeScript that knows nothing of any backend. */
const app = `
import { ConfigError, type DiscoveryOptions, MessageQueueError, openQueue } from "@abe/mq";

interface Order { readonly id: number }
const options: DiscoveryOptions = {};
await using queue = await openQueue(options);
const id: string = await queue.publish("order.created", { id: 1 } satisfies Order);
for await (const order of queue.consume<Order>()) {
  const { error, ErrorClass } = queue.backend as { error?: unknown; ErrorClass?: unknown };
  console.log(JSON.stringify({
    id: order.id,
    published: id.length > 0,
    backend: queue.backend.constructor.name,
    branded: error instanceof MessageQueueError && error instanceof ConfigError,
    same: ErrorClass === ConfigError,
  }));
  break;
}
`;

/** An application that passes its backend itself, as one that is bundled must. */
const explicitApp = `
import { openQueue } from "@abe/mq";
import MemoryBackend from "@abe/mq/memory";

await using queue = await openQueue({ backend: MemoryBackend });
await queue.publish("order.created", { id: 1 });
for await (const order of queue.consume()) {
  console.log(JSON.stringify(order));
  break;
}
`;

let packing: Promise<Packed[]> | undefined;

// All packages, packed once for all tests of this file. `@std/dotenv`, which the command line needs, is the stand-in.
function packages(): Promise<Packed[]> {
  packing ??= Promise.all([
    readPackage(root).then(pack),
    readPackage(join(root, "cli"), { "@abe/mq": "jsr:@abe/mq@^0.1.0" }).then(pack),
    readPackage(join(root, "tests/offline/dotenv")).then(pack),
    pack({
      name: "@acme/abe-mq-line",
      version: "1.2.3",
      exports: { ".": "./mod.ts" },
      imports: {},
      files: new Map([["/mod.ts", plugin], ["/lines.ts", lines], ["/README.md", "# A backend\n"]]),
    }),
  ]);
  return packing;
}

interface Place extends AsyncDisposable {
  readonly folder: string;
  readonly requests: readonly string[];
  write(path: string, text: string): Promise<void>;
  read(path: string): Promise<string>;
  run(command: string, args: readonly string[], env?: Record<string, string>): Promise<Result>;
}

/** An empty folder, a registry, and nothing cached. */
async function emptyPlace(): Promise<Place> {
  const server = await serveHandler(registry(await packages()));
  const home = await mkdtemp(join(tmpdir(), "abe-mq-install-"));
  const folder = join(home, "app");
  await mkdir(folder);
  await writeFile(join(folder, ".npmrc"), `@jsr:registry=${server.url.slice(0, -1)}\n`);
  const env = {
    JSR_URL: server.url,
    DENO_DIR: join(home, "deno"),
    BUN_INSTALL_CACHE_DIR: join(home, "bun"),
    npm_config_cache: join(home, "npm"),
    npm_config_audit: "false",
    npm_config_fund: "false",
    npm_config_update_notifier: "false",
    ABE_MQ_CACHE_DIR: join(home, "code"),
    MESSAGE_QUEUE_BACKEND: undefined,
    QUEUE_BACKEND: undefined,
    ABE_MQ_PLUGINS: undefined,
    ABE_MQ_PLUGIN_URL: undefined,
    PATH: `${join(root, ".tools/bin")}${delimiter}${process.env.PATH}`,
  };
  return {
    folder,
    requests: server.requests,
    write: (path, text) => writeFile(join(folder, path), text),
    read: (path) => readFile(join(folder, path), "utf8"),
    run: (command, args, more = {}) => run({ command, args, cwd: folder, env: { ...env, ...more } }),
    async [Symbol.asyncDispose](): Promise<void> {
      await server[Symbol.asyncDispose]();
      await rm(home, { recursive: true, force: true });
    },
  };
}

function succeeded(result: Result): Result {
  assert.equal(result.code, 0, result.output);
  return result;
}

async function runsWithPlugin(place: Place, command: string, args: readonly string[], same: boolean): Promise<void> {
  const expected = { id: 1, published: true, backend: "LineBackend", branded: true };
  const byUrl = { ABE_MQ_PLUGIN_URL: "jsr:@acme/abe-mq-line@^1" };
  const first = succeeded(await place.run(command, args, byUrl));
  assert.deepEqual(JSON.parse(first.stdout), { ...expected, same });
  const fails = await place.run(command, args, { ...byUrl, LINE_FAILS: "1" });
  assert.notEqual(fails.code, 0);
  assert.match(fails.output, /LINE_FAILS is set/);
  assert.ok(place.requests.includes("/@acme/abe-mq-line/1.2.3_meta.json"), "the plugin came from the registry");
}

/** Publishes and consumes by the command line, whichever way it was installed. */
async function commandLineWorks(place: Place, command: string, args: readonly string[]): Promise<void> {
  const env = { MESSAGE_QUEUE_BACKEND: "sqlite", MESSAGE_QUEUE_PATH: join(place.folder, "events.db") };
  succeeded(await place.run(command, [...args, "publish", "order.created", '{"id":1}'], env));
  const got = succeeded(await place.run(command, [...args, "consume", "--count", "1", "--payload"], env));
  assert.equal(got.stdout, '{"id":1}\n');
  const backends = succeeded(await place.run(command, [...args, "backends", "--json"], env));
  assert.match(backends.stdout, /"memory"/);
}

async function packagesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const name of await readdir(join(folder, "node_modules"))) {
    if (name.startsWith(".")) continue;
    if (!name.startsWith("@")) names.push(name);
    else for (const part of await readdir(join(folder, "node_modules", name))) names.push(`${name}/${part}`);
  }
  return names.sort();
}

async function bringsOnly(names: readonly string[]): Promise<void> {
  const [packed] = await packages();
  const declared = Object.keys(JSON.parse(packed?.npmFiles.get("/package.json") ?? "{}").dependencies).sort();
  assert.deepEqual(declared.filter((name) => !allowed.includes(name)), []);
  assert.deepEqual(names.filter((name) => !ofRedis.test(name)), declared);
}

async function typesResolve(place: Place): Promise<void> {
  const compilerOptions = {
    strict: true,
    module: "nodenext",
    target: "esnext",
    lib: ["esnext", "dom"],
    types: [],
    noEmit: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
  };
  await place.write("tsconfig.json", JSON.stringify({ compilerOptions, files: ["main.ts", "explicit.ts"] }));
  const tsc = join(root, "node_modules/typescript/lib/tsc.js");
  succeeded(await place.run(runtimePath("node"), [tsc, "--project", "."]));
  await place.write(
    "wrong.ts",
    `import { openQueue } from "@abe/mq"; const queue: number = await openQueue(); export { queue };`,
  );
  await place.write("tsconfig.json", JSON.stringify({ compilerOptions, files: ["wrong.ts"] }));
  const wrong = await place.run(runtimePath("node"), [tsc, "--project", "."]);
  assert.match(wrong.output, /Type 'MessageQueue' is not assignable to type 'number'/);
}

describe("the package, installed into an empty folder", () => {
  if (thisRuntime === "deno") {
    it("by deno add, runs with a backend from the registry, and brings nothing else", { timeout }, async () => {
      await using place = await emptyPlace();
      const deno = runtimePath("deno");
      succeeded(await place.run(deno, ["add", "jsr:@abe/mq"]));
      await place.write("main.ts", app);
      await place.write("explicit.ts", explicitApp);
      // Deno's own loader: the application's import map has the very entry that the plugin imports.
      await runsWithPlugin(place, deno, ["run", "-A", "main.ts"], true);
      succeeded(await place.run(deno, ["check", "main.ts", "explicit.ts"]));
      const lock = JSON.parse(await place.read("deno.lock"));
      const npm = Object.keys(lock.npm).map((name) => name.replace(/(?<=.)@.*/, "")).sort();
      assert.deepEqual(Object.keys(lock.jsr), ["@abe/mq@0.1.0", "@acme/abe-mq-line@1.2.3"]);
      await bringsOnly(npm);

      succeeded(await place.run(deno, ["add", "jsr:@acme/abe-mq-line"]));
      const byName = succeeded(await place.run(deno, ["run", "-A", "main.ts"], { MESSAGE_QUEUE_BACKEND: "line" }));
      assert.equal(JSON.parse(byName.stdout).backend, "LineBackend");
      const only = succeeded(await place.run(deno, ["run", "-A", "main.ts"]));
      assert.equal(JSON.parse(only.stdout).backend, "LineBackend");
    });

    it("runs its command line from the registry", { timeout }, async () => {
      await using place = await emptyPlace();
      await commandLineWorks(place, runtimePath("deno"), ["run", "-A", "jsr:@abe/mq-cli"]);
    });

    it("compiles into one file with a backend that it is given", { timeout }, async () => {
      await using place = await emptyPlace();
      const deno = runtimePath("deno");
      succeeded(await place.run(deno, ["add", "jsr:@abe/mq"]));
      await place.write("explicit.ts", explicitApp);
      const compile = ["compile", "-A", "--output", "app", "explicit.ts"];
      const compiled = await place.run(deno, compile);
      if (compiled.code === 0) {
        assert.deepEqual(JSON.parse(succeeded(await place.run(join(place.folder, "app"), [])).stdout), { id: 1 });
        return;
      }
      // What Deno puts under the program comes from its own download server. Where that does not answer, the rest is still held to.
      assert.match(compiled.output, /denort|dl\.deno\.land|error sending request/);
      succeeded(await place.run(deno, compile, { DENORT_BIN: deno }));
      const binary = await readFile(join(place.folder, "app"));
      assert.ok(binary.includes("class MemoryBackend"), "the backend is in the file");
    });
  }

  if (thisRuntime === "bun") {
    it("by bunx jsr add, runs with a backend from the registry, and brings nothing else", { timeout }, async () => {
      await using place = await emptyPlace();
      const bun = runtimePath("bun");
      await place.write("package.json", JSON.stringify({ name: "app", private: true, type: "module" }));
      succeeded(await place.run(bun, ["x", "jsr", "add", "--bun", "@abe/mq"]));
      assert.deepEqual(JSON.parse(await place.read("package.json")).dependencies, {
        "@abe/mq": "npm:@jsr/abe__mq@^0.1.0",
      });
      await bringsOnly((await packagesIn(place.folder)).filter((name) => name !== "@abe/mq"));
      await place.write("main.ts", app);
      await place.write("explicit.ts", explicitApp);
      await runsWithPlugin(place, bun, ["run", "main.ts"], true);
      await typesResolve(place);

      succeeded(await place.run(bun, ["x", "jsr", "add", "--bun", "@acme/abe-mq-line"]));
      const byName = succeeded(await place.run(bun, ["run", "main.ts"], { MESSAGE_QUEUE_BACKEND: "line" }));
      assert.deepEqual([JSON.parse(byName.stdout).backend, JSON.parse(byName.stdout).branded], ["LineBackend", true]);
    });

    it("runs its command line, added by bunx jsr add", { timeout }, async () => {
      await using place = await emptyPlace();
      const bun = runtimePath("bun");
      await place.write("package.json", JSON.stringify({ name: "app", private: true, type: "module" }));
      succeeded(await place.run(bun, ["x", "jsr", "add", "--bun", "@abe/mq-cli"]));
      await commandLineWorks(place, bun, ["node_modules/@abe/mq-cli/mod.js"]);
    });

    it("is bundled by bun build with a backend that it is given", { timeout }, async () => {
      await using place = await emptyPlace();
      const bun = runtimePath("bun");
      await place.write("package.json", JSON.stringify({ name: "app", private: true, type: "module" }));
      succeeded(await place.run(bun, ["add", "@abe/mq@npm:@jsr/abe__mq"]));
      await place.write("explicit.ts", explicitApp);
      await place.write("main.ts", app);
      for (const target of ["bun", "node"] as const) {
        succeeded(await place.run(bun, ["build", "explicit.ts", `--target=${target}`, `--outfile=${target}.mjs`]));
        const bundle = succeeded(await place.run(runtimePath(target), [`${target}.mjs`]));
        assert.deepEqual(JSON.parse(bundle.stdout), { id: 1 });
      }
      // A bundle still loads a backend from a URL, which gets the copy of this package that is in the bundle.
      succeeded(await place.run(bun, ["build", "main.ts", "--target=bun", "--outfile=main.mjs"]));
      await rm(join(place.folder, "node_modules"), { recursive: true });
      await runsWithPlugin(place, bun, ["main.mjs"], true);
    });
  }

  if (thisRuntime === "node") {
    it("by npm install, runs with a backend from the registry, and brings nothing else", { timeout }, async () => {
      await using place = await emptyPlace();
      const node = runtimePath("node");
      await place.write("package.json", JSON.stringify({ name: "app", private: true, type: "module" }));
      succeeded(await place.run("npm", ["install", "@abe/mq@npm:@jsr/abe__mq"]));
      await bringsOnly((await packagesIn(place.folder)).filter((name) => name !== "@abe/mq"));
      await place.write("main.ts", app);
      await place.write("explicit.ts", explicitApp);
      await runsWithPlugin(place, node, ["main.ts"], true);
      assert.deepEqual(JSON.parse(succeeded(await place.run(node, ["explicit.ts"])).stdout), { id: 1 });
      await typesResolve(place);

      succeeded(await place.run("npm", ["install", "@abe/mq-cli@npm:@jsr/abe__mq-cli"]));
      await commandLineWorks(place, node, ["node_modules/@abe/mq-cli/mod.js"]);

      succeeded(await place.run("npm", ["install", "@acme/abe-mq-line@npm:@jsr/acme__abe-mq-line"]));
      const byName = succeeded(await place.run(node, ["main.ts"], { MESSAGE_QUEUE_BACKEND: "line" }));
      assert.deepEqual([JSON.parse(byName.stdout).backend, JSON.parse(byName.stdout).branded], ["LineBackend", true]);
    });
  }
});
