/**
 * Looking at the servers' settings and clocks.
 *
 * @module
 */

import type { Finding } from "../../core/backend.ts";
import { MessageQueueError } from "../../core/errors.ts";
import type { Broker } from "./broker.ts";

// Leases and delays go by the server's clock, `publishedAt` by the publisher's; a second between them is noticed by nobody.
const mostSkewMs = 1_000;

/**
 * Looks at every server that has a part of the exchange.
 *
 * @param broker The servers.
 * @returns What was found.
 * @throws {MessageQueueError} `connection` when one does not answer.
 */
export async function diagnose(broker: Broker): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const seen = new Set<string>();
  for (const { partition } of broker.partitions) {
    const text = await allowed(broker.send(partition, ["INFO"], "ask for the server's settings"));
    if (text === undefined) {
      findings.push({
        level: "warning",
        message: "The user may not ask Redis for its settings, so whether they lose messages is not known",
        mend: "ACL SETUSER with +info and +config|get, or look with another user",
      });
      return findings;
    }
    const info = parseInfo(String(text));
    const id = info.get("run_id") ?? String(partition);
    // Partitions may share a server.
    if (seen.has(id)) continue;
    seen.add(id);
    const where = `Redis ${info.get("redis_version") ?? ""} at port ${info.get("tcp_port") ?? "?"}`;
    findings.push(
      ...memory(info, where),
      ...await persistence(info, where, (name) => setting(broker, partition, name)),
      ...replication(info, where, broker.settings.minReplicas),
      await clock(broker, partition, where),
    );
  }
  return findings;
}

function parseInfo(text: string): ReadonlyMap<string, string> {
  return new Map(Array.from(text.matchAll(/^(\w+):(.*?)\r?$/gm), ([, name = "", value = ""]) => [name, value]));
}

// An ACL user need not be allowed to look.
async function allowed(asked: Promise<unknown>): Promise<unknown> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof MessageQueueError && error.code === "connection") throw error;
    return undefined;
  }
}

async function setting(broker: Broker, partition: number, name: string): Promise<string | undefined> {
  const reply = await allowed(broker.send(partition, ["CONFIG", "GET", name], "ask for a setting"));
  if (typeof reply !== "object" || reply === null) return undefined;
  return String(Object.values(reply).at(-1) ?? "");
}

function memory(info: ReadonlyMap<string, string>, where: string): Finding[] {
  const policy = info.get("maxmemory_policy") ?? "unknown";
  if (policy === "noeviction") return [{ level: "ok", message: `${where} never evicts keys (noeviction)` }];
  const mend = "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf";
  if (Number(info.get("maxmemory")) > 0) {
    const message = `${where} drops keys, and so messages, when its memory is full (maxmemory-policy ${policy})`;
    return [{ level: "problem", message, mend }];
  }
  return [{ level: "warning", message: `${where} would drop keys once a maxmemory is set (${policy})`, mend }];
}

async function persistence(
  info: ReadonlyMap<string, string>,
  where: string,
  ask: (name: string) => Promise<string | undefined>,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (info.get("aof_enabled") !== "1") {
    findings.push({
      level: "problem",
      message: `${where} keeps no append-only file: a crash loses what came after its last snapshot`,
      mend: "CONFIG SET appendonly yes, and the same in redis.conf",
    });
  } else {
    const sync = await ask("appendfsync");
    if (sync === "always") {
      findings.push({ level: "ok", message: `${where} writes each command to disk (appendfsync always)` });
    } else if (sync === "everysec") {
      findings.push({
        level: "warning",
        message:
          `${where} writes to disk once a second: a power cut may lose the last one (a crash of Redis alone loses nothing)`,
        mend: "CONFIG SET appendfsync always, where a second matters",
      });
    } else if (sync === "no") {
      findings.push({
        level: "problem",
        message: `${where} leaves it to the system when to write to disk: a power cut loses about 30 seconds`,
        mend: "CONFIG SET appendfsync everysec, or always",
      });
    }
  }
  for (const name of ["aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"]) {
    if (info.get(name) === "err") {
      findings.push({
        level: "problem",
        message: `${where} could not write to disk (${name})`,
        mend: "see its log; is the disk full?",
      });
    }
  }
  return findings;
}

function replication(info: ReadonlyMap<string, string>, where: string, minReplicas: number): Finding[] {
  const replicas = Number(info.get("connected_slaves") ?? 0);
  if (replicas > 0 && minReplicas === 0) {
    return [{
      level: "warning",
      message: `${where} has replicas and publishes do not wait for them: a failover may lose the last messages`,
      mend: "REDIS_MIN_REPLICAS=1",
    }];
  }
  if (replicas < minReplicas) {
    return [{
      level: "problem",
      message: `${where} has ${replicas} of the ${minReplicas} replicas that publishes wait for, and so rejects them`,
      mend: "start its replicas, or lower REDIS_MIN_REPLICAS",
    }];
  }
  return [];
}

async function clock(broker: Broker, partition: number, where: string): Promise<Finding> {
  const before = Date.now();
  const [seconds, micros] = (await broker.send(partition, ["TIME"], "ask for the time")) as readonly unknown[];
  const own = (before + Date.now()) / 2;
  const skewMs = Math.round(Number(seconds) * 1_000 + Number(micros) / 1_000 - own);
  if (Math.abs(skewMs) <= mostSkewMs) return { level: "ok", message: `The clock of ${where} and this one agree` };
  return {
    level: "warning",
    message: `The clock of ${where} is ${Math.abs(skewMs)} ms ${
      skewMs > 0 ? "ahead of" : "behind"
    } this one: delays and ages are off by that`,
    mend: "synchronise both by NTP, as by chrony or systemd-timesyncd",
  };
}
