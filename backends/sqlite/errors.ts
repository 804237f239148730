/**
 * What SQLite says, as the errors of this package.
 *
 * @module
 */

import { describeError, MessageQueueError } from "../../core/errors.ts";

// Deno sets no `errcode` on some of its errors, so the text, which SQLite keeps stable, decides where the number is missing.
const texts: readonly (readonly [RegExp, number])[] = [
  [/database (table |schema )?is locked/, 5],
  [/attempt to write a readonly database/, 8],
  [/disk I\/O error/, 10],
  [/database disk image is malformed/, 11],
  [/database or disk is full/, 13],
  [/unable to open database file/, 14],
  [/string or blob too big/, 18],
  [/file is not a database/, 26],
];

/** SQLite's primary result code, 0 when the error is none of SQLite's. */
export function resultCode(error: unknown): number {
  if (!(error instanceof Error)) return 0;
  const { errcode, code } = error as { errcode?: unknown; code?: unknown };
  if (typeof errcode === "number") return errcode & 0xff;
  if (code !== "ERR_SQLITE_ERROR") return 0;
  return texts.find(([text]) => text.test(error.message))?.[1] ?? 1;
}

/** Whether another connection holds the lock, so that the same call may succeed in a moment. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === 5 || code === 6;
}

/**
 * An error of SQLite or of the file system as one that says what failed and what would mend it.
 *
 * @param action What was tried, as in `publish to`.
 * @param path The file.
 * @param error What was thrown.
 * @returns The error; one of this package comes back as it is.
 */
export function storageError(action: string, path: string, error: unknown): Error {
  if (error instanceof MessageQueueError) return error;
  const start = `Cannot ${action} the queue file ${path}`;
  const storage = (text: string) => new MessageQueueError("storage", `${start}: ${text}`, { cause: error });
  switch (resultCode(error)) {
    case 5:
    case 6:
      return new MessageQueueError("connection", `${start}: another process holds its lock; it is tried again`, {
        cause: error,
        retryable: true,
      });
    case 8:
      return storage("it may not be written; allow this user to write the file and its folder");
    case 10:
      return storage(`the disk failed (${describeError(error)}); look at the system's log`);
    case 11:
      return storage("it is damaged; restore a backup, or save what is left with `sqlite3 FILE .recover`");
    case 13:
      return storage("the disk is full, and nothing was stored; free some space");
    case 14:
      return storage("it cannot be opened; its folder must exist, and this user must be allowed to write there");
    case 18:
      return new MessageQueueError("invalid_payload", `${start}: a message is larger than SQLite can hold`, {
        cause: error,
      });
    case 26:
      return storage("it is no SQLite database, and was left as it is; name another file");
  }
  if ((error as { code?: unknown } | null)?.code === "ERR_INVALID_STATE") {
    return new MessageQueueError("closed", `${start}: it is closed`, { cause: error });
  }
  return storage(describeError(error));
}
