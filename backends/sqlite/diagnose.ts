/**
 * Looking at a file's settings.
 *
 * @module
 */

import { stat } from "node:fs/promises";
import type { Finding } from "../../core/backend.ts";
import type { Store } from "./store.ts";

// More than clocks of one machine's processes differ by; what is later was published while the clock was wrong.
const mostSkewMs = 60_000;

/**
 * Looks at what makes a file lose messages.
 *
 * @param store The open file.
 * @returns What was found.
 */
export async function diagnose({ connection, log, settings }: Store): Promise<readonly Finding[]> {
  const { path, synchronous, now } = settings;
  const findings: Finding[] = [];
  if (connection.isNew) {
    findings.push({
      level: "warning",
      message: `${path} was not there and has been made`,
      mend:
        "if there should be messages, look at MESSAGE_QUEUE_PATH or MESSAGE_QUEUE_URL, and at the working directory",
    });
  }
  if (synchronous === "FULL") {
    findings.push({ level: "ok", message: `${path} is on the disk before a publish resolves (synchronous FULL)` });
  } else {
    findings.push({
      level: "warning",
      message:
        `${path} reaches the disk a little after a publish resolves (synchronous NORMAL): a power cut may lose the last moments`,
      mend: "MESSAGE_QUEUE_SYNCHRONOUS=FULL",
    });
  }
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) {
    findings.push({
      level: "warning",
      message: `Other users of this machine may read or write ${path} (mode ${(mode & 0o777).toString(8)})`,
      mend: `chmod 600 ${path}`,
    });
  }
  const last = connection.get(`select published_at from ${log} order by position desc limit 1`);
  const aheadMs = Number((last as { published_at?: unknown } | undefined)?.published_at ?? 0) - now();
  if (aheadMs > mostSkewMs) {
    findings.push({
      level: "warning",
      message: `The newest message is from ${
        Math.round(aheadMs / 1_000)
      } s ahead of now: this machine's clock has jumped back`,
      mend: "synchronise it by NTP; delayed messages come when it gets there",
    });
  } else findings.push({ level: "ok", message: "This machine's clock is not behind the newest message" });
  return findings;
}
