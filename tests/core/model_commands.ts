/**
 * The steps of a random run: each does one thing to the backend and to the model, and compares.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { AsyncCommand } from "fast-check";
import type { MemoryBackend } from "../../backends/memory.ts";
import type { Claim, Message, Receiver, Settlement } from "../../mod.ts";
import type { Model, ModelGroup, ModelMessage, VirtualClock } from "./model.ts";

/** A receiver of the backend, and every claim that it ever made. */
export interface Place {
  readonly receiver: Receiver;
  readonly group: ModelGroup;
  readonly leaseMs: number;
  readonly claims: { readonly claim: Claim; readonly message: ModelMessage }[];
  state: "open" | "crashed" | "closed";
}

/** The backend under test and what stands around it. */
export interface Real {
  readonly backend: MemoryBackend;
  readonly clock: VirtualClock;
  readonly places: Place[];
}

/** One step. */
export type Step = AsyncCommand<Model, Real>;

/** Lets everything happen that waits for nothing but its turn. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await Promise.resolve();
}

function step(
  name: string,
  run: (model: Model, real: Real) => Promise<void>,
  check: (model: Model) => boolean = () => true,
): Step {
  return {
    check,
    async run(model, real) {
      await run(model, real);
      await compare(model, real);
    },
    toString: () => name,
  };
}

function open(real: Real): Place[] {
  return real.places.filter(({ state }) => state === "open");
}

function isSame(message: ModelMessage, other: { readonly id: string; readonly publishedAt: number }): boolean {
  return message.id === other.id && message.publishedAt === other.publishedAt;
}

/** One of them by any number; `undefined` when there is none. */
function pick<T>(items: readonly T[], number: number): T | undefined {
  return items[number % Math.max(1, items.length)];
}

/** Publishes one message. */
export function publish(key: string, options: { orderingKey?: string; delayMs?: number; id?: string }): Step {
  return step(`publish(${key}, ${JSON.stringify(options)})`, async (model, { backend, clock }) => {
    const { orderingKey, delayMs = 0, id = crypto.randomUUID() } = options;
    const message = makeMessage(clock.now(), id, key, delayMs, orderingKey, options.id !== undefined);
    await backend.publishMany([message]);
    const { publishedAt } = message;
    model.publish({ id, key, publishedAt, orderingKey, dueAt: publishedAt + delayMs }, message.deduplicate);
  });
}

function makeMessage(
  now: number,
  id: string,
  key: string,
  delayMs: number,
  orderingKey: string | undefined,
  deduplicate: boolean,
): Message {
  return {
    id,
    key,
    body: "{}",
    headers: {},
    publishedAt: now,
    ...(delayMs > 0 && { deliverAt: now + delayMs }),
    ...(orderingKey !== undefined && { orderingKey }),
    deduplicate,
  };
}

/** Opens a receiver. */
export function receive(number: number, leaseMs: number): Step {
  return step(`receive(${number}, ${leaseMs})`, async (model, { backend, places }) => {
    const group = pick(model.groups, number);
    if (group === undefined) return;
    const receiver = await backend.receive({ group: group.options.name, leaseMs });
    places.push({ receiver, group, leaseMs, claims: [], state: "open" });
  });
}

/** Pulls what is there, and checks that it is what may and must be given. */
export function pull(number: number, max: number): Step {
  return step(`pull(${number}, ${max})`, async (model, real) => {
    const place = pick(open(real), number);
    if (place !== undefined) await pullHere(model, real, place, max);
  });
}

/** As the step does, for a given place; says how many came. */
export async function pullHere(model: Model, real: Real, place: Place, max: number): Promise<number> {
  const { group } = place;
  const retries = group.retries();
  const exhausted = group.exhausted();
  const stop = new AbortController();
  const pulling = place.receiver.pull({ max, signal: stop.signal });
  await settled();
  stop.abort();
  const claims = await pulling;
  // What has used up its attempts is buried when the search for something to give comes upon it; for sure when nothing else is due.
  const { deadLetters } = await real.backend.deadLetters.list(group.options.name, { limit: 10_000 });
  for (const letter of deadLetters.slice(group.dead.length)) {
    const message = exhausted.find((each) => isSame(each, letter));
    assert.ok(message !== undefined, "a pull buries nothing that has attempts left");
    const standing = group.standings.get(message);
    group.bury(message, standing?.at === "ready" ? standing.attempts : 0, "exhausted");
  }
  const given = claims.map((claim) => claimed(group, claim));
  if (retries.length > 0) {
    assert.equal(given.length, 1, "what was delivered before comes alone");
    assert.ok(given.every((message) => retries.includes(message)), "what was delivered before goes first");
  } else {
    assert.deepEqual(group.exhausted(), [], "what has used up its attempts is dead");
    const wanted = group.fresh().slice(0, max);
    // A pull takes one after the other, so a dead letter or a claim on the way changes what may follow; ids tell more than counts.
    assert.deepEqual(given.map(({ id }) => id), wanted.map(({ id }) => id), "what is fresh comes in order");
  }
  for (const [index, message] of given.entries()) hold(model, place, message, claims[index]);
  return claims.length;
}

function claimed(group: ModelGroup, claim: Claim): ModelMessage {
  const message = group.standing("ready").find((each) => isSame(each, claim));
  assert.ok(message !== undefined, `message ${claim.id} may not be given`);
  const standing = group.standings.get(message);
  assert.ok(standing?.at === "ready");
  assert.equal(claim.attempt, standing.attempts + 1, "the attempt");
  assert.equal(claim.key, message.key, "the key");
  assert.equal(claim.orderingKey, message.orderingKey, "the ordering key");
  return message;
}

function hold(model: Model, place: Place, message: ModelMessage, claim: Claim | undefined): void {
  if (claim === undefined) return;
  place.group.standings.set(message, {
    at: "held",
    attempt: claim.attempt,
    claim,
    until: model.now + place.leaseMs,
  });
  place.claims.push({ claim, message });
}

/** Waits for a message that is published meanwhile. */
export function pullWaiting(number: number): Step {
  return step(`pullWaiting(${number})`, async (model, real) => {
    const place = pick(open(real), number);
    if (place === undefined) return;
    while (await pullHere(model, real, place, 100) > 0);
    const pulling = place.receiver.pull({ max: 10, signal: new AbortController().signal });
    await settled();
    const id = crypto.randomUUID();
    await real.backend.publishMany([makeMessage(real.clock.now(), id, "x.waited", 0, undefined, false)]);
    const { now } = model;
    model.publish({ id, key: "x.waited", publishedAt: now, orderingKey: undefined, dueAt: now }, false);
    const claims = await pulling;
    assert.deepEqual(claims.map((claim) => claim.id), [id], "what is published comes to who waits");
    for (const claim of claims) hold(model, place, claimed(place.group, claim), claim);
  });
}

/** Settles one of the claims that a receiver ever made, lost ones included. */
export function settle(number: number, which: number, how: Omit<Settlement, "claim">): Step {
  return step(`settle(${number}, ${which}, ${JSON.stringify(how)})`, async (model, real) => {
    const place = pick(open(real), number);
    const target = place && pick(place.claims, which);
    if (place === undefined || target === undefined) return;
    const { claim, message } = target;
    const { group } = place;
    const standing = group.standings.get(message);
    const holds = standing?.at === "held" && standing.claim === claim;
    const settlement = { ...how, claim } as Settlement;
    assert.deepEqual(await place.receiver.settle([settlement]), [holds], "whether it was still held");
    if (!holds) return;
    const { attempt } = claim;
    switch (settlement.verb) {
      case "ack":
        group.standings.set(message, { at: "acked" });
        break;
      case "nack":
        group.fail(message, attempt, settlement.delayMs > 0 ? model.now + settlement.delayMs : undefined);
        break;
      case "reject":
        group.bury(message, attempt, settlement.reason);
        break;
      case "release":
        group.standings.set(message, { at: "ready", attempts: attempt - 1 });
        break;
    }
  });
}

/** Extends one of the claims that a receiver ever made. */
export function extend(number: number, which: number, leaseMs: number): Step {
  return step(`extend(${number}, ${which}, ${leaseMs})`, async (model, real) => {
    const place = pick(open(real), number);
    const target = place && pick(place.claims, which);
    if (place === undefined || target === undefined) return;
    const { claim, message } = target;
    const standing = place.group.standings.get(message);
    const holds = standing?.at === "held" && standing.claim === claim;
    assert.deepEqual(await place.receiver.extend([claim], leaseMs), [holds], "whether it was still held");
    if (standing?.at === "held" && holds) {
      place.group.standings.set(message, { ...standing, until: model.now + leaseMs });
    }
  });
}

/** A receiver is heard of no more. */
export function crash(number: number): Step {
  return step(`crash(${number})`, (_, real) => {
    const place = pick(open(real), number);
    if (place !== undefined) place.state = "crashed";
    return Promise.resolve();
  });
}

/** A receiver leaves; what it held comes again. */
export function close(number: number): Step {
  return step(`close(${number})`, async (_, real) => {
    const place = pick(open(real), number);
    if (place !== undefined) await closeHere(place);
  });
}

/** As the step does, for a given place. */
export async function closeHere(place: Place): Promise<void> {
  await place.receiver.close();
  place.state = "closed";
  for (const { claim, message } of place.claims) {
    const standing = place.group.standings.get(message);
    if (standing?.at !== "held" || standing.claim !== claim) continue;
    place.group.standings.set(message, { at: "ready", attempts: standing.attempt });
  }
}

/** Time passes. */
export function advance(ms: number): Step {
  return step(`advance(${ms})`, async (model, { clock }) => {
    clock.advance(ms);
    model.advance(ms);
    await settled();
  });
}

/** Dead letters without an ordering key go back into their group. */
export function replay(number: number): Step {
  return step(`replay(${number})`, async (model, { backend }) => {
    const group = pick(model.groups, number);
    if (group === undefined) return;
    const messages = group.standing("dead").filter(({ orderingKey }) => orderingKey === undefined);
    const ids = messages.map(({ id }) => id);
    assert.equal(await backend.deadLetters.replay(group.options.name, ids), ids.length, "how many were replayed");
    assert.equal(await backend.deadLetters.replay(group.options.name, ids), 0, "each is replayed once");
    const death = (message: ModelMessage) => group.dead.findIndex((each) => isSame(message, each));
    for (const message of messages.sort((a, b) => death(a) - death(b))) {
      group.standings.delete(message);
      // Before everything that is in the log, in the order of their deaths.
      group.standings.set({ ...message, place: -1 }, { at: "ready", attempts: 0 });
    }
    group.dead = group.dead.filter(({ id }) => !ids.includes(id));
  });
}

/** What the backend counts and keeps is what the model says. */
async function compare(model: Model, { backend, places }: Real): Promise<void> {
  const stats = await backend.stats();
  for (const group of model.groups) {
    const { name, matches } = group.options;
    const held = stats.groups[name];
    const toCome = model.messages.filter(({ place, key }) => place === undefined && matches(key)).length;
    assert.deepEqual(
      {
        ready: held?.ready,
        delayed: held?.delayed,
        inFlight: held?.inFlight,
        dead: held?.dead,
        consumers: held?.consumers,
      },
      {
        ready: group.standing("ready").length,
        delayed: group.standing("delayed").length + toCome,
        inFlight: group.standing("held").length,
        dead: group.dead.length,
        consumers: places.filter((place) => place.group === group && place.state !== "closed").length,
      },
      `stats of group ${name}`,
    );
    const { deadLetters } = await backend.deadLetters.list(name, { limit: 10_000 });
    const known = deadLetters.map(({ id, publishedAt, attempts, reason }) => ({ id, publishedAt, attempts, reason }));
    assert.deepEqual(known, group.dead, `dead letters of group ${name}`);
  }
}
