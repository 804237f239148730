/**
 * The connection, the broker's settings, and what is where.
 *
 * @module
 */

import type { MessageQueueBackend, QueueStats } from "@abe/mq";
import { errorText } from "../exit.ts";
import { formatDuration, formatNumber, plural } from "../style.ts";
import { Notes, type Section } from "./finding.ts";

// Longer than any broker that is well takes to answer, connecting included.
const patienceMs = 5_000;

/**
 * Connects.
 *
 * @param backend The backend.
 * @returns What was found, and whether the broker answers.
 */
export async function examineConnection(
  backend: MessageQueueBackend,
): Promise<{ readonly section: Section; readonly answers: boolean }> {
  const notes = new Notes("connection");
  const start = performance.now();
  try {
    await within(backend.connect?.());
    const connectedMs = performance.now() - start;
    if (backend.ping === undefined) {
      notes.fact("The backend has no ping, so whether its broker answers shows at the first message");
      return { section: notes, answers: true };
    }
    const asked = performance.now();
    await within(backend.ping(AbortSignal.timeout(patienceMs)));
    const roundTrip = performance.now() - asked;
    notes.ok(`The broker answers: connected in ${formatDuration(connectedMs)}, round trip ${roundTrip.toFixed(1)} ms`);
    return { section: notes, answers: true };
  } catch (error) {
    notes.problem(
      `The broker does not answer: ${errorText(error, false)}`,
      "start it, or mend MESSAGE_QUEUE_URL (or _HOST, _PORT, _USERNAME, _PASSWORD); see docs/troubleshooting.md",
    );
    return { section: notes, answers: false };
  }
}

async function within<T>(work: Promise<T> | undefined): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${patienceMs} ms`)), patienceMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Looks at the broker's settings and clock, as far as the backend can.
 *
 * @param backend The backend.
 * @returns What was found.
 */
export async function examineSettings(backend: MessageQueueBackend): Promise<Section> {
  const notes = new Notes("settings");
  if (!backend.capabilities?.durable) {
    notes.warning(
      "The backend does not declare `durable`: messages end with their process",
      "use a durable backend in production",
    );
  }
  if (backend.diagnose === undefined) {
    notes.fact("The backend does not look at its broker's settings or clock");
    return notes;
  }
  try {
    notes.findings.push(...await within(backend.diagnose(AbortSignal.timeout(patienceMs))) ?? []);
  } catch (error) {
    notes.problem(`The settings cannot be read: ${errorText(error, false)}`, "allow the user to read them");
  }
  return notes;
}

/**
 * Looks at groups: those nobody consumes, what is held by nobody, dead letters.
 *
 * @param backend The backend.
 * @returns What was found.
 */
export async function examineGroups(backend: MessageQueueBackend): Promise<Section> {
  const notes = new Notes("groups");
  if (backend.stats === undefined) {
    notes.fact("The backend does not count");
    return notes;
  }
  let stats: QueueStats;
  try {
    stats = await backend.stats();
  } catch (error) {
    notes.problem(`The messages cannot be counted: ${errorText(error, false)}`);
    return notes;
  }
  notes.fact(`${formatNumber(stats.retained)} messages retained`);
  const names = Object.keys(stats.groups).sort();
  for (const name of names) examineGroup(notes, name, stats.groups[name]);
  if (names.length === 0) {
    if (stats.retained === 0) notes.ok("There is no group and no message yet");
    else {
      notes.warning(
        `${plural(stats.retained, "message")} wait and there is no group`,
        "start a consumer: the group that it makes gets them all",
      );
    }
  } else if (notes.findings.length === 0) notes.ok(`All is well in ${plural(names.length, "group")}`);
  return notes;
}

function examineGroup(notes: Notes, name: string, stats: QueueStats["groups"][string] | undefined): void {
  if (stats === undefined) return;
  const { ready, delayed, inFlight, dead, consumers, oldestAgeMs } = stats;
  const waiting = ready + delayed;
  if (consumers === 0 && waiting > 0) {
    const oldest = oldestAgeMs > 0 ? `, the oldest for ${formatDuration(oldestAgeMs)}` : "";
    notes.warning(
      `Nobody consumes the group ${name}, where ${plural(waiting, "message")} wait${oldest}`,
      `start its consumer, or, if it is not used any more, \`mq groups delete ${name}\``,
    );
  }
  if (consumers === 0 && inFlight > 0) {
    notes.warning(
      `${plural(inFlight, "message")} of the group ${name} ${
        inFlight === 1 ? "is" : "are"
      } held by consumers that are gone`,
      "a consumer of the group gets them when their leases end; start one",
    );
  }
  if (dead > 0) {
    notes.warning(
      `The group ${name} has ${plural(dead, "dead letter")}`,
      `\`mq dead list --group ${name}\` tells why; then \`mq dead replay\` or \`mq dead purge\``,
    );
  }
}
