// Scans over a run of pages. Each takes one pass, answers with a bitmap (see bitmap.ts) and returns how many bits it set.
//
// Before: pageBytes is a page size (page.ts); every region lies inside the memory; the bitmap has ceil(pageCount / 64) words
// and overlaps no input. Alignment is free, 64 bytes are fastest.
// After: all words of the bitmap are written, bits from pageCount on are 0; nothing else changes.

import { bitmapBytes, isInside, isPageSize, partnerOf } from "./page";
import { difference64 } from "./vector";

@inline function isZeroPage(page: usize, pageBytes: u32): bool {
  for (let left = pageBytes; left != 0; left -= 128) {
    const low = v128.or(v128.or(load<v128>(page), load<v128>(page, 16)), v128.or(load<v128>(page, 32), load<v128>(page, 48)));
    const high = v128.or(v128.or(load<v128>(page, 64), load<v128>(page, 80)), v128.or(load<v128>(page, 96), load<v128>(page, 112)));
    if (v128.any_true(v128.or(low, high))) return false;
    page += 128;
  }
  return true;
}

/** Nonzero where the 64 bytes at `at` are not all zero. */
@inline function nonzero64(at: usize): v128 {
  return v128.or(v128.or(load<v128>(at), load<v128>(at, 16)), v128.or(load<v128>(at, 32), load<v128>(at, 48)));
}

/** Whether four pages are all zero. Four runs of reads are faster than one (partnerOf in page.ts). */
@inline function areZeroPages(first: usize, second: usize, third: usize, fourth: usize, pageBytes: u32): bool {
  for (let left = pageBytes; left != 0; left -= 64) {
    const ofFirstTwo = v128.or(nonzero64(first), nonzero64(second));
    const ofLastTwo = v128.or(nonzero64(third), nonzero64(fourth));
    if (v128.any_true(v128.or(ofFirstTwo, ofLastTwo))) return false;
    first += 64;
    second += 64;
    third += 64;
    fourth += 64;
  }
  return true;
}

@inline function isFillPage(page: usize, pageBytes: u32): bool {
  const word = i64x2.splat(load<i64>(page));
  for (let left = pageBytes; left != 0; left -= 64) {
    const low = v128.or(v128.xor(load<v128>(page), word), v128.xor(load<v128>(page, 16), word));
    const high = v128.or(v128.xor(load<v128>(page, 32), word), v128.xor(load<v128>(page, 48), word));
    if (v128.any_true(v128.or(low, high))) return false;
    page += 64;
  }
  return true;
}

/** Whether two pages hold the same bytes. */
@inline export function arePagesEqual(left: usize, right: usize, pageBytes: u32): bool {
  for (let rest = pageBytes; rest != 0; rest -= 128) {
    if (v128.any_true(v128.or(difference64(left, right), difference64(left + 64, right + 64)))) return false;
    left += 128;
    right += 128;
  }
  return true;
}

/** Sets the bit of each page that is all zero. */
export function scanZero(pages: usize, pageCount: u32, pageBytes: u32, bitmap: usize): u32 {
  assert(isPageSize(pageBytes));
  assert(isInside(pages, <u64>pageCount * pageBytes) && isInside(bitmap, bitmapBytes(pageCount)));
  let set: u32 = 0;
  while (pageCount != 0) {
    let word: u64 = 0;
    const group = min<u32>(64, pageCount);
    const quarter = (group + 3) >> 2;
    for (let page: u32 = 0; page < quarter; page++) {
      const second = partnerOf(page, quarter, group);
      const third = partnerOf(page, quarter * 2, group);
      const fourth = partnerOf(page, quarter * 3, group);
      const firstAt = pages + page * pageBytes;
      const secondAt = pages + second * pageBytes;
      const thirdAt = pages + third * pageBytes;
      const fourthAt = pages + fourth * pageBytes;
      if (areZeroPages(firstAt, secondAt, thirdAt, fourthAt, pageBytes)) {
        word |= ((<u64>1) << page) | ((<u64>1) << second) | ((<u64>1) << third) | ((<u64>1) << fourth);
      } else {
        word |= <u64>isZeroPage(firstAt, pageBytes) << page;
        word |= <u64>isZeroPage(secondAt, pageBytes) << second;
        word |= <u64>isZeroPage(thirdAt, pageBytes) << third;
        word |= <u64>isZeroPage(fourthAt, pageBytes) << fourth;
      }
    }
    store<u64>(bitmap, word);
    bitmap += 8;
    set += <u32>popcnt<u64>(word);
    pages += group * pageBytes;
    pageCount -= group;
  }
  return set;
}

/**
 * Sets the bit of each page that is one 64-bit word repeated (a zero page is one too) and writes that word to words[page];
 * words (8 bytes a page) of other pages become 0.
 */
export function scanFill(pages: usize, pageCount: u32, pageBytes: u32, bitmap: usize, words: usize): u32 {
  assert(isPageSize(pageBytes));
  assert(isInside(pages, <u64>pageCount * pageBytes) && isInside(bitmap, bitmapBytes(pageCount)));
  assert(isInside(words, <u64>pageCount << 3));
  let set: u32 = 0;
  let page: u32 = 0;
  while (page < pageCount) {
    let word: u64 = 0;
    const end = page + min<u32>(64, pageCount - page);
    for (; page < end; page++) {
      const fill = isFillPage(pages, pageBytes);
      word |= <u64>fill << page;
      store<u64>(words, fill ? load<u64>(pages) : 0);
      words += 8;
      pages += pageBytes;
    }
    store<u64>(bitmap, word);
    bitmap += 8;
    set += <u32>popcnt<u64>(word);
  }
  return set;
}

/** Whether two pages at a time, `second` bytes apart from each other, hold the same bytes on both sides (partnerOf in page.ts). */
@inline function arePairsEqual(left: usize, right: usize, second: usize, pageBytes: u32): bool {
  for (let rest = pageBytes; rest != 0; rest -= 64) {
    if (v128.any_true(v128.or(difference64(left, right), difference64(left + second, right + second)))) return false;
    left += 64;
    right += 64;
  }
  return true;
}

/** Sets the bit of each page that differs between the two regions. */
export function scanCompare(left: usize, right: usize, pageCount: u32, pageBytes: u32, bitmap: usize): u32 {
  assert(isPageSize(pageBytes));
  assert(isInside(left, <u64>pageCount * pageBytes) && isInside(right, <u64>pageCount * pageBytes));
  assert(isInside(bitmap, bitmapBytes(pageCount)));
  let set: u32 = 0;
  while (pageCount != 0) {
    let word: u64 = 0;
    const group = min<u32>(64, pageCount);
    const half = (group + 1) >> 1;
    for (let page: u32 = 0; page < half; page++) {
      const partner = partnerOf(page, half, group);
      const offset = page * pageBytes;
      const partnerOffset = partner * pageBytes;
      if (!arePairsEqual(left + offset, right + offset, partnerOffset - offset, pageBytes)) {
        word |= <u64>!arePagesEqual(left + offset, right + offset, pageBytes) << page;
        word |= <u64>!arePagesEqual(left + partnerOffset, right + partnerOffset, pageBytes) << partner;
      }
    }
    store<u64>(bitmap, word);
    bitmap += 8;
    set += <u32>popcnt<u64>(word);
    left += group * pageBytes;
    right += group * pageBytes;
    pageCount -= group;
  }
  return set;
}
