/**
 * A look at devalue's flat form before anything is made of it: an array of values that refer to each other by index.
 *
 * @module
 */

/** Bounds of what is read, and so of what is written. */
export interface FlatBounds {
  /** Levels of nesting. */
  readonly maxDepth: number;
  /** Digits of a BigInt, as reading one costs more than its length. */
  readonly maxDigits: number;
  /** The length of an array with holes, which may be far longer than the text that says so. */
  readonly maxSparse: number;
}

/** The tag of a view of some of a buffer's bytes, which is written as a copy of just these. */
export const viewTag = "view";

const sparseTag = -7;
// What devalue writes instead of an index: undefined, a hole, NaN, infinities, negative zero.
const leastRef = -6;

const views = new Set([
  "Int8Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
  "DataView",
]);

/**
 * Checks a flat form: only the types that the codec knows, and within bounds.
 *
 * @param flat What `JSON.parse` made of the text.
 * @param bounds The bounds.
 * @throws {TypeError | RangeError} When something is not.
 */
export function checkFlat(flat: unknown, bounds: FlatBounds): void {
  if (!Array.isArray(flat) || flat.length === 0) throw new TypeError("It is not devalue's flat form");
  const values: readonly unknown[] = flat;
  // As devalue reads it: each value once, depth first.
  const seen = new Uint8Array(values.length);
  const stack: { readonly refs: readonly unknown[]; at: number }[] = [{ refs: [0], at: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    if (top.at === top.refs.length) {
      stack.pop();
      continue;
    }
    const ref = top.refs[top.at++];
    if (typeof ref !== "number" || !Number.isInteger(ref) || ref < leastRef || ref >= values.length) {
      throw new TypeError("It refers to what is not there");
    }
    if (ref < 0 || seen[ref] === 1) continue;
    seen[ref] = 1;
    const refs = refsOf(values[ref], bounds);
    if (refs.length === 0) continue;
    if (stack.length > bounds.maxDepth) throw new RangeError(`It is nested deeper than ${bounds.maxDepth} levels`);
    stack.push({ refs, at: 0 });
  }
}

function refsOf(value: unknown, bounds: FlatBounds): readonly unknown[] {
  if (typeof value !== "object" || value === null) return [];
  if (!Array.isArray(value)) return Object.values(value);
  const [tag, ...rest]: readonly unknown[] = value;
  if (tag === sparseTag) return sparseRefs(rest, bounds);
  if (typeof tag !== "string") return value;
  if (tag === "Set" || tag === "Map") return rest;
  if (tag === "Date" || tag === "ArrayBuffer") return textOnly(rest);
  if (tag === "BigInt") {
    const [digits] = textOnly(rest, true);
    if (typeof digits === "string" && digits.length <= bounds.maxDigits) return [];
    throw new RangeError(`It holds a BigInt of more than ${bounds.maxDigits} digits`);
  }
  if (tag === "null") return rest.filter((_, i) => i % 2 === 1);
  if (views.has(tag) || tag === viewTag) return rest.slice(0, 1);
  throw new TypeError("It holds a type that this codec does not know");
}

function textOnly(rest: readonly unknown[], keep = false): readonly unknown[] {
  if (rest.length !== 1 || typeof rest[0] !== "string") {
    throw new TypeError("It holds a value that is not what its type says");
  }
  return keep ? rest : [];
}

function sparseRefs([length, ...pairs]: readonly unknown[], { maxSparse }: FlatBounds): readonly unknown[] {
  if (typeof length === "number" && length <= maxSparse) return pairs.filter((_, i) => i % 2 === 1);
  throw new RangeError(`It holds an array with holes that is longer than ${maxSparse}`);
}
