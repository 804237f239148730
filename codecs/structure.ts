/**
 * A look at MessagePack before anything is made of it (https://github.com/msgpack/msgpack/blob/master/spec.md).
 *
 * @module
 */

/** Types of the format's extensions, as this package uses them. */
export const extensions: Readonly<Record<"timestamp" | "map" | "set" | "bigint", number>> = {
  timestamp: -1,
  map: 1,
  set: 2,
  bigint: 3,
};

/** Bounds of what is read, and so of what is written. */
export interface StructureBounds {
  /** Levels of nesting. */
  readonly maxDepth: number;
  /** Bytes of a BigInt, as reading one costs more than its length. */
  readonly maxBigIntBytes: number;
}

// Bytes behind the first one of values without content of their own: 0xca float 32 to 0xd3 int 64.
const fixedSizes = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8];

/**
 * Checks that bytes are one MessagePack value: every length fits into the bytes that are there, so that nothing is allocated for what does
 * not come, only the extensions that this package knows, and within bounds.
 *
 * @param bytes The bytes.
 * @param bounds The bounds.
 * @throws {TypeError | RangeError} When they are not.
 */
export function checkStructure(bytes: Uint8Array, bounds: StructureBounds): void {
  new Scanner(bytes, bounds).scan();
}

/** A container whose values are being read. */
interface Frame {
  left: number;
  /** Where an extension with a value in it must end. */
  readonly end: number | undefined;
}

class Scanner {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #bounds: StructureBounds;
  readonly #frames: Frame[] = [];
  #at = 0;

  constructor(bytes: Uint8Array, bounds: StructureBounds) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#bounds = bounds;
  }

  scan(): void {
    this.#value();
    for (let frame = this.#frames.at(-1); frame !== undefined; frame = this.#frames.at(-1)) {
      if (frame.left === 0) {
        if (frame.end !== undefined && frame.end !== this.#at) {
          throw new TypeError("An extension does not end with its value");
        }
        this.#frames.pop();
      } else {
        frame.left--;
        this.#value();
      }
    }
    if (this.#at !== this.#bytes.length) throw new TypeError("There is more than one value");
  }

  #value(): void {
    const head = this.#size(1);
    if (head <= 0x7f || head >= 0xe0) return;
    if (head <= 0x8f) return this.#open(2 * (head & 0x0f));
    if (head <= 0x9f) return this.#open(head & 0x0f);
    if (head <= 0xbf) return this.#skip(head & 0x1f);
    if (head === 0xc1) throw new TypeError("A byte has no meaning");
    if (head <= 0xc3) return;
    if (head <= 0xc6) return this.#skip(this.#size(1 << (head - 0xc4)));
    if (head <= 0xc9) return this.#extension(this.#size(1 << (head - 0xc7)));
    if (head <= 0xd3) return this.#skip(fixedSizes[head - 0xca] ?? 0);
    if (head <= 0xd8) return this.#extension(1 << (head - 0xd4));
    if (head <= 0xdb) return this.#skip(this.#size(1 << (head - 0xd9)));
    if (head <= 0xdd) return this.#open(this.#size(2 << (head - 0xdc)));
    return this.#open(2 * this.#size(2 << (head - 0xde)));
  }

  #size(width: number): number {
    const at = this.#at;
    this.#skip(width);
    if (width === 1) return this.#view.getUint8(at);
    return width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #skip(length: number): void {
    if (length > this.#bytes.length - this.#at) throw new RangeError("A length is beyond the end");
    this.#at += length;
  }

  #open(count: number, end?: number): void {
    // Each value takes a byte at least.
    if (count > this.#bytes.length - this.#at) throw new RangeError("A length is beyond the end");
    const { maxDepth } = this.#bounds;
    if (this.#frames.length >= maxDepth) throw new RangeError(`It is nested deeper than ${maxDepth} levels`);
    this.#frames.push({ left: count, end });
  }

  #extension(length: number): void {
    const type = this.#size(1) << 24 >> 24;
    if (type === extensions.map || type === extensions.set) {
      const end = this.#at + length;
      if (end > this.#bytes.length) throw new RangeError("A length is beyond the end");
      return this.#open(1, end);
    }
    if (type === extensions.bigint) {
      const { maxBigIntBytes } = this.#bounds;
      if (length > maxBigIntBytes) throw new RangeError(`It holds a BigInt of more than ${maxBigIntBytes} bytes`);
    } else if (type !== extensions.timestamp) {
      throw new TypeError(`It holds an extension of type ${type}, which this codec does not know`);
    }
    this.#skip(length);
  }
}
