/**
 * "Did you mean": the known name nearest to one that is not known.
 *
 * @module
 */

/**
 * How many letters must be inserted, removed, replaced or swapped with their neighbour to turn one word into another
 * (Damerau-Levenshtein, in the variant of optimal string alignment).
 *
 * @param a A word.
 * @param b Another.
 * @returns The number of steps.
 */
export function editDistance(a: string, b: string): number {
  const from = [...a];
  const to = [...b];
  let before: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      let steps = Math.min(
        (current[column - 1] ?? 0) + 1,
        (last[column] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      if (column > 1 && row > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]) {
        steps = Math.min(steps, (before[column - 2] ?? 0) + 1);
      }
      current.push(steps);
    }
    before = last;
    last = current;
  }
  return last[to.length] ?? 0;
}

/**
 * The name that was probably meant.
 *
 * @param name What was asked for.
 * @param known What there is.
 * @returns The nearest known name, when it is near enough to be a slip: a third of the letters, or one that contains it.
 */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const wanted = name.toLowerCase();
  let best: string | undefined;
  let least = Infinity;
  for (const each of known) {
    const other = each.toLowerCase();
    const part = wanted.length >= 3 && (other.includes(wanted) || (other.length >= 3 && wanted.includes(other)));
    const steps = part ? 1 : editDistance(wanted, other);
    if (steps < least && steps <= Math.max(1, Math.ceil(wanted.length / 3))) {
      best = each;
      least = steps;
    }
  }
  return best;
}

const plain = /^[\x21-\x7e]+$/;

/**
 * A name as it is shown in messages: letters that only look like others, and invisible ones, are written as what they are.
 *
 * @param name What was asked for.
 * @returns The name in quotes.
 */
export function quoteName(name: string): string {
  if (plain.test(name)) return JSON.stringify(name);
  const odd = [...new Set([...name].filter((letter) => !plain.test(letter)))];
  const codes = odd.map((letter) => `U+${(letter.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`);
  // Escaped, so that nothing in it can write on the terminal.
  const shown = JSON.stringify(name).replace(/[^\x20-\x7e]/gu, (letter) => /\p{L}|\p{N}/u.test(letter) ? letter : "?");
  return `${shown} (which holds ${codes.slice(0, 5).join(", ")})`;
}
