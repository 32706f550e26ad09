// XXH3-128 with a 64-bit seed, bit-exact with xxHash 0.8 for the lengths that pages have. All of them are beyond 240 bytes, so
// only the algorithm's long form is here. Source: the xxHash specification (doc/xxhash_spec.md of Cyan4973/xxHash).
//
// A fingerprint is 16 bytes: the low 64 bits, then the high 64 bits, each little-endian.
//
// Before: pageBytes is a page size (page.ts); `secret` points to the 192 bytes that the host derived from the seed; regions lie
// inside the memory and do not overlap. After: only the outputs change. Cost: one pass over the pages.

import { bitmapBytes, isInside, isPageSize } from "./page";

const PRIME32_1: u64 = 0x9e3779b1;
const PRIME32_2: u64 = 0x85ebca77;
const PRIME32_3: u64 = 0xc2b2ae3d;
const PRIME64_1: u64 = 0x9e3779b185ebca87;
const PRIME64_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME64_3: u64 = 0x165667b19e3779f9;
const PRIME64_4: u64 = 0x85ebca77c2b2ae63;
const PRIME64_5: u64 = 0x27d4eb2f165667c5;
const AVALANCHE: u64 = 0x165667919e3779f9;

const SECRET_BYTES: u32 = 192;
const STRIPE_BYTES: u32 = 64;
const BLOCK_BYTES: u32 = 1024;
const STRIPES_PER_BLOCK: u32 = 16;
/** secret + 192 - 64 - 7, where the fifteen stripes before it have led to secret + 15 × 8. */
const LAST_STRIPE_KEY_SHIFT: u32 = 1;

/** Low 64 bits of the 128-bit product, xor its high 64 bits. */
@inline function foldedProduct(a: u64, b: u64): u64 {
  const aLow = a & 0xffffffff;
  const aHigh = a >> 32;
  const bLow = b & 0xffffffff;
  const bHigh = b >> 32;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >> 32);
  const cross = aLow * bHigh + (middle & 0xffffffff);
  const high = aHigh * bHigh + (middle >> 32) + (cross >> 32);
  return (a * b) ^ high;
}

@inline function foldPair(accumulators: v128, secret: usize): u64 {
  const keyed = v128.xor(accumulators, load<v128>(secret));
  return foldedProduct(i64x2.extract_lane(keyed, 0), i64x2.extract_lane(keyed, 1));
}

@inline function avalanche(hash: u64): u64 {
  hash ^= hash >> 37;
  hash *= AVALANCHE;
  return hash ^ (hash >> 32);
}

@inline function scramble(accumulators: v128, secret: usize): v128 {
  const mixed = v128.xor(v128.xor(accumulators, i64x2.shr_u(accumulators, 47)), load<v128>(secret));
  return i64x2.mul(mixed, i64x2.splat(PRIME32_1));
}

@inline function swapped(data: v128): v128 {
  return v128.shuffle<u64>(data, data, 1, 0);
}

let low: u64 = 0;
let high: u64 = 0;

/** Leaves the fingerprint of one page in `low` and `high`. */
@inline function fingerprintPage(page: usize, pageBytes: u32, secret: usize): void {
  let acc0 = i64x2(PRIME32_3, PRIME64_1);
  let acc1 = i64x2(PRIME64_2, PRIME64_3);
  let acc2 = i64x2(PRIME64_4, PRIME32_2);
  let acc3 = i64x2(PRIME64_5, PRIME32_1);

  // Each block is 16 stripes and a scramble. The last block has no scramble, and its last stripe takes its key a byte further.
  let at = page;
  for (let blocks = pageBytes / BLOCK_BYTES; ; ) {
    blocks--;
    let key = secret;
    for (let stripes = STRIPES_PER_BLOCK; stripes != 0; stripes--) {
      if (stripes == 1 && blocks == 0) key += LAST_STRIPE_KEY_SHIFT;
      const data0 = load<v128>(at);
      const data1 = load<v128>(at, 16);
      const data2 = load<v128>(at, 32);
      const data3 = load<v128>(at, 48);
      const keyed0 = v128.xor(data0, load<v128>(key));
      const keyed1 = v128.xor(data1, load<v128>(key, 16));
      const keyed2 = v128.xor(data2, load<v128>(key, 32));
      const keyed3 = v128.xor(data3, load<v128>(key, 48));
      // Two vectors at a time: their low and their high 32-bit halves side by side, as the widening products want them.
      const lows01 = v128.shuffle<u32>(keyed0, keyed1, 0, 2, 4, 6);
      const highs01 = v128.shuffle<u32>(keyed0, keyed1, 1, 3, 5, 7);
      const lows23 = v128.shuffle<u32>(keyed2, keyed3, 0, 2, 4, 6);
      const highs23 = v128.shuffle<u32>(keyed2, keyed3, 1, 3, 5, 7);
      acc0 = i64x2.add(acc0, i64x2.add(swapped(data0), i64x2.extmul_low_i32x4_u(lows01, highs01)));
      acc1 = i64x2.add(acc1, i64x2.add(swapped(data1), i64x2.extmul_high_i32x4_u(lows01, highs01)));
      acc2 = i64x2.add(acc2, i64x2.add(swapped(data2), i64x2.extmul_low_i32x4_u(lows23, highs23)));
      acc3 = i64x2.add(acc3, i64x2.add(swapped(data3), i64x2.extmul_high_i32x4_u(lows23, highs23)));
      at += STRIPE_BYTES;
      key += 8;
    }
    if (blocks == 0) break;
    const scrambleKey = secret + (SECRET_BYTES - STRIPE_BYTES);
    acc0 = scramble(acc0, scrambleKey);
    acc1 = scramble(acc1, scrambleKey + 16);
    acc2 = scramble(acc2, scrambleKey + 32);
    acc3 = scramble(acc3, scrambleKey + 48);
  }

  const lowKey = secret + 11;
  const highKey = secret + (SECRET_BYTES - STRIPE_BYTES - 11);
  low = avalanche(
    <u64>pageBytes * PRIME64_1 +
      foldPair(acc0, lowKey) + foldPair(acc1, lowKey + 16) + foldPair(acc2, lowKey + 32) + foldPair(acc3, lowKey + 48),
  );
  high = avalanche(
    ~(<u64>pageBytes * PRIME64_2) +
      foldPair(acc0, highKey) + foldPair(acc1, highKey + 16) + foldPair(acc2, highKey + 32) + foldPair(acc3, highKey + 48),
  );
}

/** Writes the fingerprint of each page to `fingerprints` (16 bytes a page). */
export function fingerprintPages(pages: usize, pageCount: u32, pageBytes: u32, secret: usize, fingerprints: usize): void {
  assert(isPageSize(pageBytes));
  assert(isInside(pages, <u64>pageCount * pageBytes) && isInside(fingerprints, <u64>pageCount << 4));
  assert(isInside(secret, SECRET_BYTES));
  for (; pageCount != 0; pageCount--) {
    fingerprintPage(pages, pageBytes, secret);
    store<u64>(fingerprints, low);
    store<u64>(fingerprints, high, 8);
    pages += pageBytes;
    fingerprints += 16;
  }
}

/**
 * Fingerprints each page, sets its bit in `bitmap` where the fingerprint differs from the one in `fingerprints`, and writes the
 * new one there. Returns how many pages differ.
 */
export function fingerprintScan(
  pages: usize,
  pageCount: u32,
  pageBytes: u32,
  secret: usize,
  fingerprints: usize,
  bitmap: usize,
): u32 {
  assert(isPageSize(pageBytes));
  assert(isInside(pages, <u64>pageCount * pageBytes) && isInside(fingerprints, <u64>pageCount << 4));
  assert(isInside(secret, SECRET_BYTES) && isInside(bitmap, bitmapBytes(pageCount)));
  let set: u32 = 0;
  let page: u32 = 0;
  while (page < pageCount) {
    let word: u64 = 0;
    const end = page + min<u32>(64, pageCount - page);
    for (; page < end; page++) {
      fingerprintPage(pages, pageBytes, secret);
      const dirty = ((load<u64>(fingerprints) ^ low) | (load<u64>(fingerprints, 8) ^ high)) != 0;
      word |= <u64>dirty << page;
      store<u64>(fingerprints, low);
      store<u64>(fingerprints, high, 8);
      pages += pageBytes;
      fingerprints += 16;
    }
    store<u64>(bitmap, word);
    bitmap += 8;
    set += <u32>popcnt<u64>(word);
  }
  return set;
}
