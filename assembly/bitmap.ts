// Bitmaps of pages: whole 64-bit words, bit i of the map is bit i % 8 of byte i / 8, bits beyond the map's length are 0.
//
// Before: maps lie inside the memory; `out` may be one of the inputs, but may not overlap them otherwise.

import { bitmapBytes, isInside } from "./page";

/** out = left & right, over `bitCount` bits. */
export function bitmapAnd(left: usize, right: usize, out: usize, bitCount: u32): void {
  const bytes = bitmapBytes(bitCount);
  assert(isInside(left, bytes) && isInside(right, bytes) && isInside(out, bytes));
  for (let at: usize = 0; at < <usize>bytes; at += 8) store<u64>(out + at, load<u64>(left + at) & load<u64>(right + at));
}

/** out = left | right. */
export function bitmapOr(left: usize, right: usize, out: usize, bitCount: u32): void {
  const bytes = bitmapBytes(bitCount);
  assert(isInside(left, bytes) && isInside(right, bytes) && isInside(out, bytes));
  for (let at: usize = 0; at < <usize>bytes; at += 8) store<u64>(out + at, load<u64>(left + at) | load<u64>(right + at));
}

/** out = left & ~right. */
export function bitmapAndNot(left: usize, right: usize, out: usize, bitCount: u32): void {
  const bytes = bitmapBytes(bitCount);
  assert(isInside(left, bytes) && isInside(right, bytes) && isInside(out, bytes));
  for (let at: usize = 0; at < <usize>bytes; at += 8) store<u64>(out + at, load<u64>(left + at) & ~load<u64>(right + at));
}

/** How many of the first `bitCount` bits are set. */
export function bitmapCount(bitmap: usize, bitCount: u32): u32 {
  assert(isInside(bitmap, bitmapBytes(bitCount)));
  let set: u32 = 0;
  for (; bitCount >= 64; bitCount -= 64) {
    set += <u32>popcnt<u64>(load<u64>(bitmap));
    bitmap += 8;
  }
  if (bitCount != 0) set += <u32>popcnt<u64>(load<u64>(bitmap) & ((<u64>1 << bitCount) - 1));
  return set;
}

/** The first bit from `from` on that, xor `flip`, is set; bitCount where there is none. */
@inline function findBit(bitmap: usize, bitCount: u32, from: u32, flip: u64): u32 {
  if (from >= bitCount) return bitCount;
  let index = from & ~63;
  let word = (load<u64>(bitmap + (<usize>index >> 3)) ^ flip) & (~(<u64>0) << (from & 63));
  while (word == 0) {
    if (bitCount - index <= 64) return bitCount;
    index += 64;
    word = load<u64>(bitmap + (<usize>index >> 3)) ^ flip;
  }
  return min<u32>(bitCount, index + <u32>ctz<u64>(word));
}

/** The start of the first run of set bits at or after `from`; its length goes to the u32 at `length`. bitCount and 0: no run is left. */
export function bitmapNextRun(bitmap: usize, bitCount: u32, from: u32, length: usize): u32 {
  assert(isInside(bitmap, bitmapBytes(bitCount)) && isInside(length, 4));
  const start = findBit(bitmap, bitCount, from, 0);
  store<u32>(length, findBit(bitmap, bitCount, start, ~(<u64>0)) - start);
  return start;
}

/** Writes the numbers of the set bits, ascending, as u32 to `numbers` (room for bitmapCount of them) and returns how many. */
export function bitmapExpand(bitmap: usize, bitCount: u32, numbers: usize): u32 {
  assert(isInside(bitmap, bitmapBytes(bitCount)));
  let at = numbers;
  for (let base: u32 = 0; base < bitCount; base += 64) {
    let word = load<u64>(bitmap);
    bitmap += 8;
    if (bitCount - base < 64) word &= (<u64>1 << (bitCount - base)) - 1;
    for (; word != 0; word &= word - 1) {
      assert(isInside(at, 4));
      store<u32>(at, base + <u32>ctz<u64>(word));
      at += 4;
    }
    if (bitCount - base <= 64) break;
  }
  return <u32>((at - numbers) >> 2);
}
