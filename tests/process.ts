/**
 * Child processes for tests, from whichever runtime the test itself runs under.
 *
 * @module
 */

import { type ChildProcess, spawn as spawnChild } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** A runtime that the package runs under. */
export type Runtime = "deno" | "bun" | "node";

/** All of them, in the order in which the gate runs them. */
export const runtimes: readonly Runtime[] = ["deno", "bun", "node"];

/** The runtime that runs this test. */
export const thisRuntime: Runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";

/** The repository's folder. */
export const root: string = fileURLToPath(new URL("..", import.meta.url));

/** A program to start. */
export interface Command {
  /** The program. */
  readonly command: string;
  /** Its arguments. */
  readonly args: readonly string[];
  /** Variables in addition to this process's own; `undefined` takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /**
   * The folder that it starts in.
   *
   * @default {root}
   */
  readonly cwd?: string;
}

/** How to run a script. */
export interface RuntimeCommandOptions extends Omit<Command, "command" | "args"> {
  /** The script's own arguments. */
  readonly args?: readonly string[];
  /**
   * Deno's permission flags; the other runtimes have none. It never prompts.
   *
   * @default {["-A"]}
   */
  readonly permissions?: readonly string[];
  /** Further flags of the runtime, before the script. */
  readonly flags?: readonly string[];
}

/**
 * The configuration that Deno needs: with stand-ins for `@std` where the gate found that JSR does not answer.
 *
 * @returns The path of a `deno.json`.
 */
export function denoConfig(): string {
  const offline = join(root, "deno.offline.json");
  return existsSync(offline) ? offline : join(root, "deno.json");
}

/**
 * The executable of a runtime, as `deno task prepare` put it there.
 *
 * @param runtime Which one.
 * @returns Its path.
 * @throws {Error} When it is not there.
 */
export function runtimePath(runtime: Runtime): string {
  if (runtime === thisRuntime) return process.execPath;
  const path = join(root, ".tools/bin", runtime);
  if (!existsSync(path)) throw new Error(`Cannot find ${runtime}: run \`npx -y deno task prepare\` first`);
  return path;
}

/**
 * The command that runs a script under a runtime.
 *
 * @param runtime Which one.
 * @param script The path or URL of a JavaScript or TypeScript file.
 * @param options Arguments, permissions, variables.
 * @returns The command, for {@linkcode run} or {@linkcode spawn}.
 */
export function runtimeCommand(runtime: Runtime, script: string, options: RuntimeCommandOptions = {}): Command {
  const { args = [], permissions = ["-A"], flags = [], ...rest } = options;
  const own = runtime === "deno"
    ? ["run", "--no-prompt", "--no-check", "--no-lock", "--config", denoConfig(), ...permissions, ...flags]
    : runtime === "bun"
    ? ["run", ...flags]
    : [...flags];
  return { command: runtimePath(runtime), args: [...own, script, ...args], ...rest };
}

/** How a process ended. */
export interface Result {
  /** Its exit code; `null` when a signal ended it. */
  readonly code: number | null;
  /** The signal that ended it. */
  readonly signal: string | null;
  /** All it wrote to standard output. */
  readonly stdout: string;
  /** All it wrote to standard error. */
  readonly stderr: string;
  /** Both, as they came. */
  readonly output: string;
  /** Whether it was killed because its time ran out. */
  readonly timedOut: boolean;
}

/** How to start a process. */
export interface SpawnOptions {
  /**
   * Whether it gets a process group of its own, so that `kill` reaches the processes that it started too. Without, it belongs to the
   * group of its parent, and goes with it when the gate kills a test that hangs.
   *
   * @default {false}
   */
  readonly group?: boolean;
}

/** How to run a process to its end. */
export interface RunOptions extends SpawnOptions {
  /**
   * After so many milliseconds it is killed.
   *
   * @default {120_000}
   */
  readonly timeoutMs?: number;
  /** Text for its standard input, which is closed behind it. */
  readonly input?: string;
}

/**
 * Runs a process to its end.
 *
 * @param command What to start.
 * @param options Input and time limit.
 * @returns How it ended. A non-zero exit code is not an error here.
 * @throws {Error} When it cannot be started.
 */
export async function run(command: Command, options: RunOptions = {}): Promise<Result> {
  const { timeoutMs = 120_000, input } = options;
  const child = spawn(command, options);
  child.endInput(input);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  try {
    return { ...await child.exited, timedOut };
  } finally {
    clearTimeout(timer);
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

// A process that was killed stays in its group until its parent has looked, which in a container may be never.
function allZombies(group: number): boolean {
  if (!existsSync("/proc/self/stat")) return false;
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    let stat: string;
    try {
      stat = readFileSync(`/proc/${entry}/stat`, "utf8");
    } catch {
      continue; // it has just ended
    }
    // "pid (name) state parent group ...", where the name may hold anything.
    const [state, , itsGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (Number(itsGroup) === group && state !== "Z") return false;
  }
  return true;
}

// What a test started must not outlive the test's process, however that ends.
const alive = new Set<Child>();
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

// How long to wait, after a process has ended, for what is left in its pipes. A process that it left behind may hold them open for ever.
const pipesMs = 2_000;

/** A running process. */
export class Child {
  readonly #child: ChildProcess;
  readonly #group: boolean;
  readonly #waiting = new Set<() => void>();
  #stdout = "";
  #stderr = "";
  #output = "";
  #ended = false;

  /** Resolves when it has ended and all its output has been read; rejects when it could not be started. */
  readonly exited: Promise<Result>;

  /**
   * @param command What to start.
   * @param options How to start it.
   */
  constructor(command: Command, { group = false }: SpawnOptions = {}) {
    const env: Record<string, string> = {};
    for (const [name, value] of Object.entries({ ...process.env, NO_COLOR: "1", ...command.env })) {
      if (value !== undefined) env[name] = value;
    }
    const child = spawnChild(command.command, [...command.args], { cwd: command.cwd ?? root, env, detached: group });
    this.#child = child;
    this.#group = group;
    alive.add(this);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
      this.#take(text);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
      this.#take(text);
    });
    // A process that ends without reading its input breaks the pipe; how it ended is told by `exited`.
    child.stdin.on("error", () => this.#wake());
    this.exited = new Promise<Result>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => {
        const done = () => {
          clearTimeout(timer);
          child.stdout.destroy();
          child.stderr.destroy();
          resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr, output: this.#output, timedOut: false });
        };
        const timer = setTimeout(done, pipesMs);
        child.once("close", done);
      });
    }).finally(() => {
      this.#ended = true;
      alive.delete(this);
      this.#wake();
    });
    // Whoever asks gets the rejection; nobody has to.
    this.exited.catch(() => undefined);
  }

  /** Its process id; `undefined` when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What it has written to standard output so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** What it has written to standard error so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /**
   * Waits for a line of its standard output.
   *
   * @param wanted What the line must match.
   * @param timeoutMs When to give up, in milliseconds.
   * @returns The first line that matches, among those written before the call too.
   * @throws {Error} When it ends, or the time ends, without one; the message holds all its output.
   */
  async line(wanted: RegExp, timeoutMs = 60_000): Promise<string> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const complete = this.#stdout.slice(0, this.#ended ? undefined : this.#stdout.lastIndexOf("\n") + 1);
      const found = complete.split("\n").find((line) => wanted.test(line));
      if (found !== undefined) return found;
      const left = deadline - performance.now();
      if (this.#ended || left <= 0) {
        const why = this.#ended ? "the process ended" : `${timeoutMs} ms passed`;
        throw new Error(`Cannot find a line like ${wanted}: ${why}. It wrote:\n${this.#output}`);
      }
      await this.#change(left);
    }
  }

  /**
   * Writes to its standard input.
   *
   * @param text What to write.
   */
  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  /**
   * Closes its standard input.
   *
   * @param text What to write before.
   */
  endInput(text?: string): void {
    if (text === undefined) this.#child.stdin?.end();
    else this.#child.stdin?.end(text);
  }

  /**
   * Sends it a signal; with `group`, to all the processes that it started too. One that has ended is left alone.
   *
   * @param signal Which one.
   */
  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    const pid = this.#child.pid;
    if (pid !== undefined && !this.#ended) sendSignal(this.#group ? -pid : pid, signal);
  }

  /** Whether a process of its group is there still, itself or one that it started. */
  groupAlive(): boolean {
    return this.#group && this.pid !== undefined && sendSignal(-this.pid, 0) && !allZombies(this.pid);
  }

  /** Kills what is left of its group when it has ended itself. */
  sweep(): void {
    if (this.groupAlive() && this.pid !== undefined) sendSignal(-this.pid, "SIGKILL");
  }

  /** Kills it and waits until it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.exited.catch(() => undefined);
  }

  #take(text: string): void {
    this.#output += text;
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#waiting.add(done);
    });
  }
}

/**
 * Starts a process that goes on beside the test: a server, or a consumer that is to be killed. Use `await using`, or dispose of it.
 *
 * @param command What to start.
 * @param options How to start it.
 * @returns The process.
 */
export function spawn(command: Command, options: SpawnOptions = {}): Child {
  return new Child(command, options);
}
