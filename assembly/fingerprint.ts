// XXH3-128 with a 64-bit seed, bit-exact with xxHash 0.8 for the lengths that pages have. All of them are beyond 240 bytes, so
// only the algorithm's long form is here. Source: the xxHash specification (doc/xxhash_spec.md of Cyan4973/xxHash).
//
// A fingerprint is 16 bytes: the low 64 bits, then the high 64 bits, each little-endian.
//
// The algorithm adds products to an accumulator, and data to the accumulator beside it. Here the two lanes of each vector of
// accumulators are in swapped order: data is then added as it comes, and the shuffles that bring the factors together
// put the products in that order for free. In exchange, the rare steps that key an accumulator swap the key.
//
// Before: pageBytes is a page size (page.ts); `secret` points to the 192 bytes that the host derived from the seed; regions lie
// inside the memory and do not overlap. After: only the outputs change. Cost: one pass over the pages.

import { bitmapBytes, isInside, isPageSize, partnerOf } from "./page";

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
const STRIPES_PER_BLOCK: u32 = 16;
/** Each stripe of a block takes its key this much further. */
const KEY_STEP: u32 = 8;
/** secret + 192 - 64 - 7, where the fifteen stripes before it have led to secret + 15 × 8. */
const LAST_STRIPE_KEY_SHIFT: u32 = 1;

const LOW_HALVES: u64 = 0xffffffff;

@inline function swappedKey(key: usize): v128 {
  const data = load<v128>(key);
  return v128.shuffle<u64>(data, data, 1, 0);
}

/** The low 32-bit halves of four lanes, in the accumulators' order; the widening products want them side by side. */
@inline function lowHalves(keyed: v128, nextKeyed: v128): v128 {
  return v128.shuffle<u32>(keyed, nextKeyed, 2, 0, 6, 4);
}

@inline function highHalves(keyed: v128, nextKeyed: v128): v128 {
  return v128.shuffle<u32>(keyed, nextKeyed, 3, 1, 7, 5);
}

@inline function scramble(accumulators: v128, key: usize): v128 {
  const mixed = v128.xor(v128.xor(accumulators, i64x2.shr_u(accumulators, 47)), swappedKey(key));
  return i64x2.mul(mixed, i64x2.splat(PRIME32_1));
}

/**
 * The product of two accumulators: its low 64 bits, xor its high 64 bits. The first lane is keyed with `lowKey`, the second one
 * with `highKey`.
 */
@inline function foldedProducts(accumulators: v128, lowKey: usize, highKey: usize): v128 {
  const keyedLow = v128.xor(accumulators, swappedKey(lowKey));
  const keyedHigh = v128.xor(accumulators, swappedKey(highKey));
  // The factors of both lanes: their two low 32-bit halves, then their two high ones; crossed, the other way round.
  const factor = v128.shuffle<u32>(keyedLow, keyedHigh, 0, 4, 1, 5);
  const otherFactor = v128.shuffle<u32>(keyedLow, keyedHigh, 2, 6, 3, 7);
  const otherCrossed = v128.shuffle<u64>(otherFactor, otherFactor, 1, 0);
  const lowLow = i64x2.extmul_low_i32x4_u(factor, otherFactor);
  const lowHigh = i64x2.extmul_low_i32x4_u(factor, otherCrossed);
  const highLow = i64x2.extmul_high_i32x4_u(factor, otherCrossed);
  const highHigh = i64x2.extmul_high_i32x4_u(factor, otherFactor);
  // Long multiplication; no sum exceeds 64 bits.
  const mask = i64x2.splat(LOW_HALVES);
  const middle = i64x2.add(highLow, i64x2.shr_u(lowLow, 32));
  const cross = i64x2.add(lowHigh, v128.and(middle, mask));
  const high = i64x2.add(highHigh, i64x2.add(i64x2.shr_u(middle, 32), i64x2.shr_u(cross, 32)));
  const low = v128.or(i64x2.shl(cross, 32), v128.and(lowLow, mask));
  return v128.xor(low, high);
}

@inline function avalanche(hashes: v128): v128 {
  const mixed = i64x2.mul(v128.xor(hashes, i64x2.shr_u(hashes, 37)), i64x2.splat(AVALANCHE));
  return v128.xor(mixed, i64x2.shr_u(mixed, 32));
}

/** The fingerprint that a page's accumulators end in. */
@inline function merged(acc0: v128, acc1: v128, acc2: v128, acc3: v128, pageBytes: u32, secret: usize): v128 {
  const lowKey = secret + 11;
  const highKey = secret + (SECRET_BYTES - STRIPE_BYTES - 11);
  let hashes = i64x2.replace_lane(i64x2.splat(<u64>pageBytes * PRIME64_1), 1, ~(<u64>pageBytes * PRIME64_2));
  hashes = i64x2.add(hashes, foldedProducts(acc0, lowKey, highKey));
  hashes = i64x2.add(hashes, foldedProducts(acc1, lowKey + 16, highKey + 16));
  hashes = i64x2.add(hashes, foldedProducts(acc2, lowKey + 32, highKey + 32));
  hashes = i64x2.add(hashes, foldedProducts(acc3, lowKey + 48, highKey + 48));
  return avalanche(hashes);
}

/** Writes the fingerprints of two pages (partnerOf in page.ts tells why two). */
function fingerprintPair(
  first: usize,
  second: usize,
  pageBytes: u32,
  secret: usize,
  firstFingerprint: usize,
  secondFingerprint: usize,
): void {
  let first0 = i64x2(PRIME64_1, PRIME32_3);
  let first1 = i64x2(PRIME64_3, PRIME64_2);
  let first2 = i64x2(PRIME32_2, PRIME64_4);
  let first3 = i64x2(PRIME32_1, PRIME64_5);
  let second0 = first0;
  let second1 = first1;
  let second2 = first2;
  let second3 = first3;

  // A run is a block of 16 stripes, and a scramble follows it. But the last block has no scramble and falls into two runs: its last
  // stripe is alone, as it takes its key a byte further.
  let key = secret;
  let stripesLeft = pageBytes / STRIPE_BYTES;
  for (;;) {
    const run = stripesLeft == 1 ? 1 : min<u32>(STRIPES_PER_BLOCK, stripesLeft - 1);
    // Each run is gone through twice, for one half of the accumulators at a time: all eight and the data that goes into them
    // are more than the processor has registers.
    let stripes = run;
    let at = first;
    let otherAt = second;
    let stripeKey = key;
    do {
      const key0 = load<v128>(stripeKey);
      const key1 = load<v128>(stripeKey, 16);
      const firstData0 = load<v128>(at);
      const firstData1 = load<v128>(at, 16);
      const firstLows = lowHalves(v128.xor(firstData0, key0), v128.xor(firstData1, key1));
      const firstHighs = highHalves(v128.xor(firstData0, key0), v128.xor(firstData1, key1));
      first0 = i64x2.add(i64x2.add(first0, firstData0), i64x2.extmul_low_i32x4_u(firstLows, firstHighs));
      first1 = i64x2.add(i64x2.add(first1, firstData1), i64x2.extmul_high_i32x4_u(firstLows, firstHighs));
      const secondData0 = load<v128>(otherAt);
      const secondData1 = load<v128>(otherAt, 16);
      const secondLows = lowHalves(v128.xor(secondData0, key0), v128.xor(secondData1, key1));
      const secondHighs = highHalves(v128.xor(secondData0, key0), v128.xor(secondData1, key1));
      second0 = i64x2.add(i64x2.add(second0, secondData0), i64x2.extmul_low_i32x4_u(secondLows, secondHighs));
      second1 = i64x2.add(i64x2.add(second1, secondData1), i64x2.extmul_high_i32x4_u(secondLows, secondHighs));
      at += STRIPE_BYTES;
      otherAt += STRIPE_BYTES;
      stripeKey += KEY_STEP;
    } while (--stripes != 0);
    stripes = run;
    at = first;
    otherAt = second;
    stripeKey = key;
    do {
      const key2 = load<v128>(stripeKey, 32);
      const key3 = load<v128>(stripeKey, 48);
      const firstData2 = load<v128>(at, 32);
      const firstData3 = load<v128>(at, 48);
      const firstLows = lowHalves(v128.xor(firstData2, key2), v128.xor(firstData3, key3));
      const firstHighs = highHalves(v128.xor(firstData2, key2), v128.xor(firstData3, key3));
      first2 = i64x2.add(i64x2.add(first2, firstData2), i64x2.extmul_low_i32x4_u(firstLows, firstHighs));
      first3 = i64x2.add(i64x2.add(first3, firstData3), i64x2.extmul_high_i32x4_u(firstLows, firstHighs));
      const secondData2 = load<v128>(otherAt, 32);
      const secondData3 = load<v128>(otherAt, 48);
      const secondLows = lowHalves(v128.xor(secondData2, key2), v128.xor(secondData3, key3));
      const secondHighs = highHalves(v128.xor(secondData2, key2), v128.xor(secondData3, key3));
      second2 = i64x2.add(i64x2.add(second2, secondData2), i64x2.extmul_low_i32x4_u(secondLows, secondHighs));
      second3 = i64x2.add(i64x2.add(second3, secondData3), i64x2.extmul_high_i32x4_u(secondLows, secondHighs));
      at += STRIPE_BYTES;
      otherAt += STRIPE_BYTES;
      stripeKey += KEY_STEP;
    } while (--stripes != 0);
    stripesLeft -= run;
    if (stripesLeft == 0) break;
    first += run * STRIPE_BYTES;
    second += run * STRIPE_BYTES;
    if (stripesLeft == 1) {
      key += run * KEY_STEP + LAST_STRIPE_KEY_SHIFT;
      continue;
    }
    key = secret;
    const scrambleKey = secret + (SECRET_BYTES - STRIPE_BYTES);
    first0 = scramble(first0, scrambleKey);
    first1 = scramble(first1, scrambleKey + 16);
    first2 = scramble(first2, scrambleKey + 32);
    first3 = scramble(first3, scrambleKey + 48);
    second0 = scramble(second0, scrambleKey);
    second1 = scramble(second1, scrambleKey + 16);
    second2 = scramble(second2, scrambleKey + 32);
    second3 = scramble(second3, scrambleKey + 48);
  }
  store<v128>(firstFingerprint, merged(first0, first1, first2, first3, pageBytes, secret));
  store<v128>(secondFingerprint, merged(second0, second1, second2, second3, pageBytes, secret));
}

/** Writes the fingerprint of each page to `fingerprints` (16 bytes a page). */
export function fingerprintPages(pages: usize, pageCount: u32, pageBytes: u32, secret: usize, fingerprints: usize): void {
  assert(isPageSize(pageBytes));
  assert(isInside(pages, <u64>pageCount * pageBytes) && isInside(fingerprints, <u64>pageCount << 4));
  assert(isInside(secret, SECRET_BYTES));
  while (pageCount != 0) {
    const group = min<u32>(64, pageCount);
    const half = (group + 1) >> 1;
    for (let page: u32 = 0; page < half; page++) {
      const partner = partnerOf(page, half, group);
      const first = pages + page * pageBytes;
      const second = pages + partner * pageBytes;
      fingerprintPair(first, second, pageBytes, secret, fingerprints + (page << 4), fingerprints + (partner << 4));
    }
    pages += group * pageBytes;
    fingerprints += group << 4;
    pageCount -= group;
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
  while (pageCount != 0) {
    const group = min<u32>(64, pageCount);
    const half = (group + 1) >> 1;
    let word: u64 = 0;
    for (let page: u32 = 0; page < half; page++) {
      const partner = partnerOf(page, half, group);
      const firstFingerprint = fingerprints + (page << 4);
      const secondFingerprint = fingerprints + (partner << 4);
      const firstBefore = load<v128>(firstFingerprint);
      const secondBefore = load<v128>(secondFingerprint);
      const first = pages + page * pageBytes;
      const second = pages + partner * pageBytes;
      fingerprintPair(first, second, pageBytes, secret, firstFingerprint, secondFingerprint);
      word |= <u64>v128.any_true(v128.xor(firstBefore, load<v128>(firstFingerprint))) << page;
      word |= <u64>v128.any_true(v128.xor(secondBefore, load<v128>(secondFingerprint))) << partner;
    }
    store<u64>(bitmap, word);
    bitmap += 8;
    set += <u32>popcnt<u64>(word);
    pages += group * pageBytes;
    fingerprints += group << 4;
    pageCount -= group;
  }
  return set;
}
