/**
 * The cache on disk: bodies by their digest, and graphs ready to import by the digest of their files.
 *
 * Everything is written under a temporary name and renamed, so that other processes see all of it or nothing; everything that is read is
 * compared with its digest, so that a broken or changed file is found out.
 *
 * @module
 */

import { chmod, lstat, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describeError, MessageQueueError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { isPermitted, platform, processId } from "../../core/runtime.ts";
import { type Digest, sha256 } from "./integrity.ts";
import { createHash } from "node:crypto";

/** A body as kept. */
export interface Kept {
  /** The bytes, which have been compared with the digest. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The media type that came with it. */
  readonly contentType: string;
}

/** The cache. */
export class Store {
  /** Its folder. */
  readonly folder: string;
  readonly #logger: Logger;
  #uid: number | undefined;

  private constructor(folder: string, logger: Logger) {
    this.folder = folder;
    this.#logger = logger;
  }

  /**
   * Opens the cache, and makes its folders where they are missing and may be made.
   *
   * @param folder Where it is.
   * @param logger Told about what is not right.
   * @returns The cache.
   * @throws {MessageQueueError} `plugin_refused` when a folder of it is a link, or another user's, or open to others; `storage` when it
   *   cannot be made.
   */
  static async open(folder: string, logger: Logger): Promise<Store> {
    for (const name of ["read", "write"] as const) {
      if (isPermitted({ name, path: folder })) continue;
      throw new MessageQueueError(
        "plugin_refused",
        `Cannot keep code from a URL: this program may not ${name} ${folder}; allow it by \`--allow-read=${folder} --allow-write=${folder}\`, ` +
          "or name another folder by ABE_MQ_CACHE_DIR",
      );
    }
    const store = new Store(folder, logger);
    await store.#makeFolder(folder);
    for (const name of ["bodies", "graphs"]) await store.#makeFolder(join(folder, name));
    return store;
  }

  /**
   * Reads a body.
   *
   * @param url Where it was found.
   * @param digest Its digest.
   * @returns The body; `undefined` when it is not there, or is not what it should be.
   */
  async read(url: string, digest: Digest): Promise<Kept | undefined> {
    const path = this.#bodyPath(url, digest);
    const file = await readPlain(path);
    if (file === undefined) return undefined;
    const end = file.indexOf(10);
    const bytes = new Uint8Array(file.subarray(end + 1));
    if (end < 0 || createHash(digest.algorithm).update(bytes).digest("hex") !== digest.hex) {
      this.#logger.warn(`The cached file ${path} is not what its name says; it is fetched again`);
      return undefined;
    }
    return { bytes, contentType: new TextDecoder().decode(file.subarray(0, end)) };
  }

  /**
   * Keeps a body.
   *
   * @param url Where it was found.
   * @param digest Its digest.
   * @param body The body.
   */
  async write(url: string, digest: Digest, body: Kept): Promise<void> {
    const head = new TextEncoder().encode(`${body.contentType.replace(/[^\x20-\x7e]/g, "")}\n`);
    const file = new Uint8Array(head.length + body.bytes.length);
    file.set(head);
    file.set(body.bytes, head.length);
    await this.#replace(this.#bodyPath(url, digest), file);
  }

  /**
   * Makes a graph's files be there, exactly as given.
   *
   * @param files Relative path to text.
   * @returns The folder that holds them.
   * @throws {MessageQueueError} `storage` when they are not there and cannot be written.
   */
  async writeGraph(files: ReadonlyMap<string, string>): Promise<string> {
    const name = sha256(JSON.stringify([...files]));
    const folder = join(this.folder, "graphs", name);
    const made = new Set<string>();
    for (const [path, text] of files) {
      const full = join(folder, path);
      const bytes = new TextEncoder().encode(text);
      for (const parent of parents(folder, dirname(full))) {
        if (made.has(parent)) continue;
        await this.#makeFolder(parent);
        made.add(parent);
      }
      const there = await readPlain(full);
      if (there !== undefined && equal(there, bytes)) continue;
      if (there !== undefined) this.#logger.warn(`The cached file ${full} was changed; it is written anew`);
      await this.#replace(full, bytes);
    }
    return folder;
  }

  // The URL is part of the name as the same bytes may come with another media type from elsewhere.
  #bodyPath(url: string, { algorithm, hex }: Digest): string {
    return join(this.folder, "bodies", `${algorithm}-${hex}-${sha256(url).slice(0, 16)}`);
  }

  async #replace(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = join(dirname(path), `.${processId()}-${crypto.randomUUID()}.tmp`);
    try {
      // `wx` never follows a link that somebody has put there.
      const file = await open(temporary, "wx", 0o600);
      try {
        await file.writeFile(bytes);
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw cannotKeep(this.folder, error);
    }
  }

  async #makeFolder(path: string): Promise<void> {
    try {
      await makeFolder(path, path === this.folder);
    } catch (error) {
      if ((error as { code?: unknown }).code !== "EEXIST") {
        const there = await lstat(path).catch(() => undefined);
        if (there === undefined) throw cannotKeep(this.folder, error);
      }
    }
    const { isLink, mode, uid } = await this.#look(path);
    if (isLink) {
      throw new MessageQueueError(
        "plugin_refused",
        `Cannot use the cache at ${path}: it is a link or no folder; remove it, or name a real folder by ABE_MQ_CACHE_DIR`,
      );
    }
    if (platform() === "win32") return;
    if (path === this.folder) this.#uid = uid;
    if (uid !== this.#uid) {
      throw new MessageQueueError(
        "plugin_refused",
        `Cannot use the cache at ${path}: it belongs to another user; remove it`,
      );
    }
    if ((mode & 0o077) === 0) return;
    try {
      // Fails for what is another user's.
      await chmod(path, 0o700);
    } catch (error) {
      throw new MessageQueueError(
        "plugin_refused",
        `Cannot use the cache at ${path}: others may write there, and that cannot be changed (${
          describeError(error)
        }); ` +
          "name a folder of your own by ABE_MQ_CACHE_DIR",
        { cause: error },
      );
    }
  }

  async #look(path: string): Promise<{ isLink: boolean; mode: number; uid: number }> {
    try {
      const stats = await lstat(path);
      return { isLink: !stats.isDirectory(), mode: stats.mode, uid: stats.uid };
    } catch (error) {
      throw cannotKeep(this.folder, error);
    }
  }
}

// Not by mkdir's own `recursive`, with which Node never returns where a file system refuses in an unusual way (as /proc does).
async function makeFolder(path: string, withParents: boolean): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const parent = dirname(path);
    if (!withParents || (error as { code?: unknown }).code !== "ENOENT" || parent === path) throw error;
    await makeFolder(parent, true).catch((cause: unknown) => {
      if ((cause as { code?: unknown }).code !== "EEXIST") throw cause;
    });
    await mkdir(path, { mode: 0o700 });
  }
}

function cannotKeep(folder: string, error: unknown): MessageQueueError {
  return new MessageQueueError(
    "storage",
    `Cannot keep code from a URL in ${folder}: ${
      describeError(error)
    }. Name a folder that can be written by ABE_MQ_CACHE_DIR`,
    { cause: error },
  );
}

// A link in place of a file is not followed, and counts as not there: it is then replaced.
async function readPlain(path: string): Promise<Uint8Array | undefined> {
  try {
    const stats = await lstat(path);
    return stats.isFile() ? await readFile(path) : undefined;
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EACCES") return undefined;
    throw error;
  }
}

function* parents(root: string, path: string): Generator<string> {
  const chain: string[] = [];
  for (let at = path; at.length >= root.length; at = dirname(at)) chain.unshift(at);
  yield* chain;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
