import { type Arena, bitmapBytes } from "./arena.js";
import { checkWhole } from "./check.js";
import type { KernelExports } from "./exports.js";
import type { Span } from "./span.js";

/** A run of set bits: pages `start` to `start + length − 1`. */
export interface BitmapRun {
  readonly start: number;
  readonly length: number;
}

/** Whether bit `bit` of a bitmap's bytes is set. */
export function hasBit(bitmap: Uint8Array, bit: number): boolean {
  return (((bitmap[bit >>> 3] as number) >> (bit & 7)) & 1) === 1;
}

/** Sets bit `bit` of a bitmap's bytes. */
export function setBit(bitmap: Uint8Array, bit: number): void {
  bitmap[bit >>> 3] = (bitmap[bit >>> 3] as number) | (1 << (bit & 7));
}

/** Sets `count` bits of a bitmap's bytes, from bit `first` on. */
export function setBits(bitmap: Uint8Array, first: number, count: number): void {
  for (let bit = first; bit < first + count; bit++) setBit(bitmap, bit);
}

/** Clears `count` bits of a bitmap's bytes, from bit `first` on. */
export function clearBits(bitmap: Uint8Array, first: number, count: number): void {
  for (let bit = first; bit < first + count; bit++) {
    bitmap[bit >>> 3] = (bitmap[bit >>> 3] as number) & ~(1 << (bit & 7));
  }
}

/** The first set bit from bit `from` on and before `end`, or `end`. */
export function nextSetBit(bitmap: Uint8Array, end: number, from: number): number {
  let bit = from;
  while (bit < end && !hasBit(bitmap, bit)) bit += (bit & 7) === 0 && bitmap[bit >>> 3] === 0 ? 8 : 1;
  return Math.min(bit, end);
}

/** The last set bit before bit `before` and not below `least`, or −1. */
export function previousSetBit(bitmap: Uint8Array, least: number, before: number): number {
  let bit = before - 1;
  while (bit >= least && !hasBit(bitmap, bit)) bit -= (bit & 7) === 7 && bitmap[bit >>> 3] === 0 ? 8 : 1;
  return bit >= least ? bit : -1;
}

/** Arithmetic on bitmaps of pages: bit i is bit i % 8 of byte i / 8; a map takes whole 64-bit words. */
export class BitmapKernels {
  readonly #exports: KernelExports;
  readonly #arena: Arena;

  constructor(exports: KernelExports, arena: Arena) {
    this.#exports = exports;
    this.#arena = arena;
  }

  /** out = left & right, over the words that `bitCount` bits take; `out` may be one of the two. */
  and(left: Span, right: Span, out: Span, bitCount: number): void {
    this.#exports.bitmapAnd(...this.#operands(left, right, out, bitCount), bitCount);
  }

  /** out = left | right. */
  or(left: Span, right: Span, out: Span, bitCount: number): void {
    this.#exports.bitmapOr(...this.#operands(left, right, out, bitCount), bitCount);
  }

  /** out = left & ~right. */
  andNot(left: Span, right: Span, out: Span, bitCount: number): void {
    this.#exports.bitmapAndNot(...this.#operands(left, right, out, bitCount), bitCount);
  }

  /** How many of the first `bitCount` bits are set. */
  count(bitmap: Span, bitCount: number): number {
    return this.#exports.bitmapCount(this.#pointer("bitmap", bitmap, bitCount), bitCount);
  }

  /** The first run of set bits at or after bit `from`; undefined where no bit is left. */
  nextRun(bitmap: Span, bitCount: number, from: number): BitmapRun | undefined {
    checkWhole("from", from);
    const pointer = this.#pointer("bitmap", bitmap, bitCount);
    const mark = this.#arena.mark();
    const length = this.#arena.allocate(4);
    try {
      const start = this.#exports.bitmapNextRun(pointer, bitCount, from, length.byteOffset);
      return start === bitCount ? undefined : { start, length: length.u32[0] as number };
    } finally {
      this.#arena.release(mark);
    }
  }

  /** Writes the numbers of the set bits, ascending, to `numbers` (u32) and returns how many. */
  expand(bitmap: Span, bitCount: number, numbers: Span): number {
    const set = this.count(bitmap, bitCount);
    return this.#exports.bitmapExpand(
      bitmap.byteOffset,
      bitCount,
      this.#arena.output("numbers", numbers, set * 4, bitmap),
    );
  }

  #pointer(name: string, bitmap: Span, bitCount: number): number {
    checkWhole("bitCount", bitCount);
    return this.#arena.pointer(name, bitmap, bitmapBytes(bitCount));
  }

  #operands(left: Span, right: Span, out: Span, bitCount: number): [number, number, number] {
    const others = [left, right].filter((input) => input.byteOffset !== out.byteOffset);
    return [
      this.#pointer("left", left, bitCount),
      this.#pointer("right", right, bitCount),
      this.#arena.output("out", out, bitmapBytes(bitCount), ...others),
    ];
  }
}
