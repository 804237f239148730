/**
 * The tables, and how a file of an older version is brought up to date.
 *
 * Each exchange has a log of its own (`log_1`, `log_2`, ...), and each group a cursor over the log of its exchange. What a group has read
 * and not finished is in `claim`: handed out under a lease, waiting to be tried again, or held back behind an earlier message of the
 * same ordering key. So publishing costs one write, however many groups there are.
 *
 * @module
 */

/** `ABEM`: marks a file as a queue of this package, so that another program's database is never taken for one. */
export const applicationId = 0x4142454d;

/**
 * The steps from each version to the next. Never change one that was released: add another.
 *
 * - `exchange.last_position` counts up and is never used twice, also when the end of the log was deleted: a position below a group's
 *   cursor would never be delivered. `stored` counts the log and `delayed`. Up to `swept_to`, the log holds only what some group still
 *   has a claim on.
 * - `claim.due_at`: when it may be handed out (again): the end of the lease, the end of a delay, 0 for at once, null while it is held back
 *   behind its ordering key. `token` is null while nobody holds it. `attempt` counts hand-outs.
 * - `body` is text, or the bytes of a body that is no text; `content_type` says what it is, null for JSON.
 * - `log_N.only_group`: set on a replayed dead letter, which the other groups skip. `available_at`: where it differs from `published_at`.
 */
export const migrations: readonly string[] = [
  `
  create table exchange (
    id integer primary key,
    name text not null unique,
    last_position integer not null default 0,
    stored integer not null default 0,
    swept_to integer not null default 0
  ) strict;

  create table consumer_group (
    id integer primary key autoincrement,
    exchange_id integer not null,
    name text not null,
    keys text not null,
    max_attempts integer not null,
    expires_ms integer,
    cursor integer not null,
    seen_at integer not null,
    unique (exchange_id, name)
  ) strict;
  create index consumer_group_expiring on consumer_group (exchange_id) where expires_ms is not null;

  create table consumer (
    id integer primary key,
    group_id integer not null,
    alive_until integer not null
  ) strict;
  create index consumer_by_group on consumer (group_id, alive_until);

  create table claim (
    group_id integer not null,
    position integer not null,
    attempt integer not null,
    due_at integer,
    token integer,
    ordering_key text,
    error text,
    primary key (group_id, position)
  ) strict, without rowid;
  create index claim_again on claim (group_id, due_at, position) where attempt > 0;
  create index claim_first on claim (group_id, due_at, position) where attempt = 0;
  create index claim_ordered on claim (group_id, ordering_key, position) where ordering_key is not null;

  create table delayed (
    seq integer primary key,
    exchange_id integer not null,
    due_at integer not null,
    id text not null,
    key text not null,
    body any not null,
    content_type text,
    headers text,
    published_at integer not null
  ) strict;
  create index delayed_by_due on delayed (exchange_id, due_at, seq);

  create table dead_letter (
    seq integer primary key autoincrement,
    group_id integer not null,
    id text not null,
    key text not null,
    body any not null,
    content_type text,
    headers text,
    published_at integer not null,
    ordering_key text,
    reason text not null,
    error text,
    attempts integer not null,
    dead_at integer not null
  ) strict;
  create index dead_letter_by_group on dead_letter (group_id, seq);
  create index dead_letter_by_id on dead_letter (group_id, id, seq);

  create table dedup (
    exchange_id integer not null,
    id text not null,
    expires_at integer not null,
    unique (exchange_id, id)
  ) strict;
  create index dedup_by_expiry on dedup (expires_at);

  create table removed_group (id integer primary key) strict;
  `,
];

/** The version that this package writes. */
export const schemaVersion: number = migrations.length;

/** The log of an exchange. */
export function logTable(exchangeId: number): string {
  return `log_${exchangeId}`;
}

/** Makes the log of an exchange. */
export function createLog(exchangeId: number): string {
  return `
  create table ${logTable(exchangeId)} (
    position integer primary key,
    id text not null,
    key text not null,
    body any not null,
    content_type text,
    headers text,
    published_at integer not null,
    available_at integer,
    ordering_key text,
    only_group integer
  ) strict;`;
}
