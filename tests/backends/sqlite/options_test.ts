import assert from "node:assert/strict";
import { resolve } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { optionsFromEnv, pathFromUrl, settingsFrom } from "../../../backends/sqlite/options.ts";
import { SqliteBackend } from "../../../backends/sqlite.ts";
import { type Env, envFrom } from "../../../core/env.ts";
import { ConfigError } from "../../../core/errors.ts";
import { timeout } from "./helpers.ts";

function problemsOf(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  assert.fail("no ConfigError was thrown");
}

const fromEnv = (variables: Record<string, string>) => settingsFrom(optionsFromEnv(envFrom(variables)));

describe("SqliteBackend.fromEnv", () => {
  it("has a default for everything", { timeout }, () => {
    const { logger: _, now, ...settings } = fromEnv({});
    assert.deepEqual(settings, {
      path: resolve("./abe-mq.db"),
      exchange: "application_events",
      maxLength: undefined,
      maxAgeMs: undefined,
      dedupWindowMs: 300_000,
      synchronous: "FULL",
      lockTimeoutMs: 5_000,
    });
    assert.equal(now, Date.now);
    assert.ok(SqliteBackend.fromEnv(envFrom({})) instanceof SqliteBackend);
  });

  it("reads every variable", { timeout }, () => {
    const { logger: _, now: __, lockTimeoutMs: ___, ...settings } = fromEnv({
      MESSAGE_QUEUE_PATH: "/tmp/a b.db",
      MESSAGE_QUEUE_EXCHANGE: "x",
      MESSAGE_QUEUE_MAX_LENGTH: "10",
      MESSAGE_QUEUE_MAX_AGE_MS: "20",
      MESSAGE_QUEUE_DEDUP_WINDOW_MS: "30",
      MESSAGE_QUEUE_SYNCHRONOUS: "normal",
    });
    assert.deepEqual(settings, {
      path: "/tmp/a b.db",
      exchange: "x",
      maxLength: 10,
      maxAgeMs: 20,
      dedupWindowMs: 30,
      synchronous: "NORMAL",
    });
  });

  it("takes the path from a file URL", { timeout }, () => {
    assert.equal(fromEnv({ MESSAGE_QUEUE_URL: "file:./events.db" }).path, resolve("events.db"));
    assert.equal(pathFromUrl("file:events.db"), "events.db");
    assert.equal(pathFromUrl("FILE:/tmp/a%20b.db"), "/tmp/a b.db");
    const absolute = resolve(process.cwd(), "some events.db");
    assert.equal(pathFromUrl(pathToFileURL(absolute).href), absolute);
    for (
      const url of ["sqlite:x.db", "file:", "file:x.db?mode=ro", "file://host.example/%zz", "redis://h/0", "file:%zz"]
    ) {
      assert.equal(pathFromUrl(url), undefined, url);
    }
  });

  it("tells every problem at once and no secret", { timeout }, () => {
    const problems = problemsOf(() =>
      fromEnv({
        MESSAGE_QUEUE_URL: "redis://user:hunter2@localhost/",
        MESSAGE_QUEUE_EXCHANGE: "a\u0000b",
        MESSAGE_QUEUE_MAX_LENGTH: "0",
        MESSAGE_QUEUE_MAX_AGE_MS: "soon",
        MESSAGE_QUEUE_DEDUP_WINDOW_MS: "-1",
        MESSAGE_QUEUE_SYNCHRONOUS: "OFF",
      })
    );
    const variables = ["URL", "EXCHANGE", "MAX_LENGTH", "MAX_AGE_MS", "DEDUP_WINDOW_MS", "SYNCHRONOUS"];
    assert.deepEqual(
      problems.map((problem) => problem.split(" ")[0]),
      variables.map((name) => `MESSAGE_QUEUE_${name}`),
    );
    assert.ok(!problems.join().includes("hunter2"));
    const twice = { MESSAGE_QUEUE_URL: "file:a.db", MESSAGE_QUEUE_PATH: "b.db" };
    assert.match(problemsOf(() => fromEnv(twice)).join(), /both set/);
    assert.match(
      problemsOf(() => fromEnv({ MESSAGE_QUEUE_PATH: ":memory:" })).join(),
      /MESSAGE_QUEUE_PATH.*memory backend/,
    );
  });

  it("tells every variable that it may not read", { timeout }, () => {
    const env: Env = {
      get: (name) => {
        throw new ConfigError([`${name} may not be read`]);
      },
      getOptional: () => undefined,
    };
    assert.equal(problemsOf(() => SqliteBackend.fromEnv(env)).length, 7);
  });
});

describe("new SqliteBackend", () => {
  it("refuses wrong options, by their names", { timeout }, () => {
    const options = { path: "", maxLength: 1.5, synchronous: "OFF" as "FULL", exchange: "" };
    const names = problemsOf(() => new SqliteBackend(options)).map((problem) => problem.split(" ")[0]);
    assert.deepEqual(names.sort(), ["exchange", "maxLength", "path", "synchronous"]);
  });
});
