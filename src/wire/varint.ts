import { WireError } from "./errors.js";

/** The most bytes that a number below 2^35 takes. */
export const VARINT_MAX_BYTES = 5;
const LIMIT = 2 ** 35;

/** Writes whole numbers from 0 to 2^35 − 1 as LEB128: seven bits a byte, the lowest first, the top bit set on all bytes but the last. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}

/** Reads LEB128 numbers one after the other; throws `batch-malformed` at the end of the bytes and above 2^35 − 1. */
export class VarintReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Whether everything has been read. */
  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  next(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new WireError("batch-malformed", "A batch ends inside a number.");
      this.#at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
      if (scale >= LIMIT) throw new WireError("batch-malformed", "A number in a batch is too large.");
    }
  }

  /** Passes over bytes between numbers and tells where they are. */
  skip(byteLength: number): number {
    const offset = this.#at;
    if (offset + byteLength > this.#bytes.length)
      throw new WireError("batch-malformed", `A batch ends inside ${byteLength} bytes that belong together.`);
    this.#at += byteLength;
    return offset;
  }
}
