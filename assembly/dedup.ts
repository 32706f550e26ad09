// A hash table from fingerprint (16 bytes, see fingerprint.ts) to page number, in memory of the caller's.
//
//   0     u32 slots (a power of two) │ u32 entries │ 56 bytes unused
//   64    slots × 16 bytes: fingerprints; all zero means empty, so an all-zero fingerprint is never stored
//         slots × 4 bytes: page numbers, DEDUP_NONE where the slot is empty
//
// Open addressing with linear probing; an entry that goes is closed over by its followers, so there are no tombstones and lookups do not
// age. At most three quarters of the slots are used: what does not fit is left out and counted. The first page that brings a
// content stands for it until it changes.
//
// Before (all functions): the table was laid by dedupClear and its memory changed by these functions alone; lists lie inside
// the memory and do not overlap the table.

import { arePagesBelow, isInside, isPageSize, pageAt } from "./page";
import { arePagesEqual } from "./scan";

/** No page has this content. */
export const DEDUP_NONE: u32 = 0xffffffff;
/** A page number is outside its region. */
export const DEDUP_PAGE_NUMBER: i32 = -1;

const HEADER_BYTES: usize = 64;

@inline function slotsOf(table: usize): u32 {
  return load<u32>(table);
}

@inline function entriesOf(table: usize): u32 {
  return load<u32>(table, 4);
}

@inline function fingerprintAt(table: usize, slot: u32): usize {
  return table + HEADER_BYTES + (<usize>slot << 4);
}

@inline function pageNumberAt(table: usize, slot: u32): usize {
  return table + HEADER_BYTES + (<usize>slotsOf(table) << 4) + (<usize>slot << 2);
}

@inline function isEmpty(fingerprint: usize): bool {
  return (load<u64>(fingerprint) | load<u64>(fingerprint, 8)) == 0;
}

/** The slot that holds the fingerprint, or the empty one where it would go. */
@inline function findSlot(table: usize, low: u64, high: u64): u32 {
  const mask = slotsOf(table) - 1;
  let slot = <u32>low & mask;
  while (true) {
    const at = fingerprintAt(table, slot);
    const slotLow = load<u64>(at);
    const slotHigh = load<u64>(at, 8);
    const isMatch = ((slotLow ^ low) | (slotHigh ^ high)) == 0;
    // One branch for both ends of the search: which of them comes is not predictable, that one comes is.
    if ((<u32>isMatch | <u32>((slotLow | slotHigh) == 0)) != 0) return slot;
    slot = (slot + 1) & mask;
  }
}

@inline function insertOne(table: usize, fingerprint: usize, page: u32): bool {
  const low = load<u64>(fingerprint);
  const high = load<u64>(fingerprint, 8);
  if ((low | high) == 0) return false;
  const slot = findSlot(table, low, high);
  const at = fingerprintAt(table, slot);
  if (!isEmpty(at)) return true;
  const slots = slotsOf(table);
  const entries = entriesOf(table);
  if (entries >= slots - (slots >> 2)) return false;
  store<u64>(at, low);
  store<u64>(at, high, 8);
  store<u32>(pageNumberAt(table, slot), page);
  store<u32>(table, entries + 1, 4);
  return true;
}

/** Removes the entry if it names this page, and moves later ones of its cluster up into the gap. */
@inline function removeOne(table: usize, fingerprint: usize, page: u32): bool {
  const low = load<u64>(fingerprint);
  const high = load<u64>(fingerprint, 8);
  if ((low | high) == 0) return false;
  let gap = findSlot(table, low, high);
  if (isEmpty(fingerprintAt(table, gap)) || load<u32>(pageNumberAt(table, gap)) != page) return false;
  const mask = slotsOf(table) - 1;
  let slot = gap;
  while (true) {
    slot = (slot + 1) & mask;
    const at = fingerprintAt(table, slot);
    if (isEmpty(at)) break;
    const home = load<u32>(at) & mask;
    if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
    store<v128>(fingerprintAt(table, gap), load<v128>(at));
    store<u32>(pageNumberAt(table, gap), load<u32>(pageNumberAt(table, slot)));
    gap = slot;
  }
  store<v128>(fingerprintAt(table, gap), i64x2.splat(0));
  store<u32>(pageNumberAt(table, gap), DEDUP_NONE);
  store<u32>(table, entriesOf(table) - 1, 4);
  return true;
}

@inline function isTable(table: usize): bool {
  const slots = slotsOf(table);
  return slots >= 4 && (slots & (slots - 1)) == 0 && isInside(table, HEADER_BYTES + <u64>slots * 20);
}

/** Lays an empty table of `slots` slots (a power of two, at least 4) into 64 + 20 × slots bytes. */
export function dedupClear(table: usize, slots: u32): void {
  assert(slots >= 4 && (slots & (slots - 1)) == 0 && isInside(table, HEADER_BYTES + <u64>slots * 20));
  memory.fill(table, 0, HEADER_BYTES + (<usize>slots << 4));
  memory.fill(table + HEADER_BYTES + (<usize>slots << 4), 0xff, <usize>slots << 2);
  store<u32>(table, slots);
}

/** How many fingerprints the table holds. */
export function dedupEntries(table: usize): u32 {
  return entriesOf(table);
}

/**
 * Enters fingerprints[i] → pages[i] (u32). A fingerprint that is there keeps its page. Returns how many of the fingerprints are
 * in the table afterwards: fewer than `count` where the table is full (or a fingerprint is all zero).
 */
export function dedupInsert(table: usize, fingerprints: usize, pages: usize, count: u32): u32 {
  assert(isTable(table) && isInside(fingerprints, <u64>count << 4) && isInside(pages, <u64>count << 2));
  let held: u32 = 0;
  for (; count != 0; count--) {
    held += <u32>insertOne(table, fingerprints, load<u32>(pages));
    fingerprints += 16;
    pages += 4;
  }
  return held;
}

/** pages[i] becomes the page entered under fingerprints[i], or DEDUP_NONE. Returns how many were found. */
export function dedupFind(table: usize, fingerprints: usize, pages: usize, count: u32): u32 {
  assert(isTable(table) && isInside(fingerprints, <u64>count << 4) && isInside(pages, <u64>count << 2));
  let found: u32 = 0;
  for (; count != 0; count--) {
    // Found or not: no branch here, for nothing predicts it.
    const page = load<u32>(pageNumberAt(table, findSlot(table, load<u64>(fingerprints), load<u64>(fingerprints, 8))));
    found += <u32>(page != DEDUP_NONE);
    store<u32>(pages, page);
    fingerprints += 16;
    pages += 4;
  }
  return found;
}

/** Removes fingerprints[i] where it is entered for pages[i] and for no other page. Returns how many went. */
export function dedupRemove(table: usize, fingerprints: usize, pages: usize, count: u32): u32 {
  assert(isTable(table) && isInside(fingerprints, <u64>count << 4) && isInside(pages, <u64>count << 2));
  let removed: u32 = 0;
  for (; count != 0; count--) {
    removed += <u32>removeOne(table, fingerprints, load<u32>(pages));
    fingerprints += 16;
    pages += 4;
  }
  return removed;
}

/**
 * pages[i] changed: its entry under before[i] goes, as in dedupRemove, and it is entered under after[i], as in dedupInsert.
 * Returns how many of the new fingerprints are in the table afterwards.
 */
export function dedupReplace(table: usize, before: usize, after: usize, pages: usize, count: u32): u32 {
  assert(isTable(table) && isInside(before, <u64>count << 4) && isInside(after, <u64>count << 4));
  assert(isInside(pages, <u64>count << 2));
  let held: u32 = 0;
  for (; count != 0; count--) {
    const page = load<u32>(pages);
    removeOne(table, before, page);
    held += <u32>insertOne(table, after, page);
    before += 16;
    after += 16;
    pages += 4;
  }
  return held;
}

/**
 * Compares page leftPages[i] of region `left` with page rightPages[i] of region `right`, byte by byte, and sets bit i where
 * they are equal. A number on the right may be DEDUP_NONE, as dedupFind leaves it: not equal.
 * Returns how many are equal, or DEDUP_PAGE_NUMBER with nothing written.
 */
export function dedupCompare(
  left: usize,
  leftPageCount: u32,
  leftPages: usize,
  right: usize,
  rightPageCount: u32,
  rightPages: usize,
  count: u32,
  pageBytes: u32,
  bitmap: usize,
): i32 {
  assert(isPageSize(pageBytes));
  assert(isInside(left, <u64>leftPageCount * pageBytes) && isInside(right, <u64>rightPageCount * pageBytes));
  assert(isInside(leftPages, <u64>count << 2) && isInside(rightPages, <u64>count << 2));
  if (!arePagesBelow(leftPages, count, leftPageCount)) return DEDUP_PAGE_NUMBER;
  for (let index: u32 = 0; index < count; index++) {
    const page = load<u32>(rightPages + (<usize>index << 2));
    if (page >= rightPageCount && page != DEDUP_NONE) return DEDUP_PAGE_NUMBER;
  }
  let equal: i32 = 0;
  let index: u32 = 0;
  while (index < count) {
    let word: u64 = 0;
    const end = index + min<u32>(64, count - index);
    for (; index < end; index++) {
      const candidate = load<u32>(rightPages);
      if (candidate != DEDUP_NONE) {
        const page = pageAt(left, load<u32>(leftPages), pageBytes);
        word |= <u64>arePagesEqual(page, pageAt(right, candidate, pageBytes), pageBytes) << index;
      }
      leftPages += 4;
      rightPages += 4;
    }
    store<u64>(bitmap, word);
    bitmap += 8;
    equal += <i32>popcnt<u64>(word);
  }
  return equal;
}
