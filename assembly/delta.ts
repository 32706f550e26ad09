// XBZRLE, the delta format of QEMU's migration stream: pairs of (length of an unchanged run, length of a changed run, the changed
// run's new bytes), lengths as ULEB128, a trailing unchanged run left out. Source: QEMU, docs/devel/migration and
// migration/xbzrle.c (format only). The encoder gives the very bytes that QEMU's gives, the decoder takes all that QEMU's takes.
//
// QEMU's lengths have at most two bytes (up to 16383), which is enough for pages of up to 16 KiB, since a run of 16384 never
// stands in a valid payload of such a page. Extension: on larger pages a length may take three bytes.
//
// A payload never exceeds its page; one that would is an overflow, and the page travels whole. As in QEMU, there is an overflow
// too where fewer than two bytes are left before a run's length, the trailing unchanged run included.

import { arePagesBelow, isInside, isPageSize, pageAt } from "./page";
import { difference64 } from "./vector";

/** The page does not fit: it travels whole. */
export const DELTA_OVERFLOW: i32 = -1;
/** A payload breaks the format or leaves its page. */
export const DELTA_MALFORMED: i32 = -2;
/** The payloads' lengths do not add up to the stream's. */
export const DELTA_STREAM_LENGTH: i32 = -3;
/** A page number is outside its region. */
export const DELTA_PAGE_NUMBER: i32 = -4;

const TWO_BYTE_LENGTH_PAGE_BYTES: u32 = 16384;

/** Bit i is set where byte i of the 64 differs. */
@inline function changedBytes(before: usize, after: usize): u64 {
  const same0 = i8x16.bitmask(i8x16.eq(load<v128>(before), load<v128>(after)));
  const same1 = i8x16.bitmask(i8x16.eq(load<v128>(before, 16), load<v128>(after, 16)));
  const same2 = i8x16.bitmask(i8x16.eq(load<v128>(before, 32), load<v128>(after, 32)));
  const same3 = i8x16.bitmask(i8x16.eq(load<v128>(before, 48), load<v128>(after, 48)));
  return ~((<u64>same0) | (<u64>same1 << 16) | (<u64>same2 << 32) | (<u64>same3 << 48));
}

@inline function storeLength(at: usize, length: u32): usize {
  if (length < 0x80) {
    store<u8>(at, length);
    return at + 1;
  }
  store<u8>(at, length | 0x80);
  if (length < 0x4000) {
    store<u8>(at, length >> 7, 1);
    return at + 2;
  }
  store<u8>(at, (length >> 7) | 0x80, 1);
  store<u8>(at, length >> 14, 2);
  return at + 3;
}

/** Copies one run. memory.copy is a call out of WebAssembly in V8: up to 32 bytes two vectors that may overlap are faster. */
@inline function copyRun(to: usize, from: usize, bytes: u32): void {
  if (bytes - 16 <= 16) {
    const last = load<v128>(from + bytes - 16);
    store<v128>(to, load<v128>(from));
    store<v128>(to + bytes - 16, last);
  } else {
    memory.copy(to, from, bytes);
  }
}

/** How many bytes must be free before a run of this length: two, as in QEMU, or the three that the length takes. */
@inline function roomForLength(length: u32): u32 {
  return length < 0x4000 ? 2 : 3;
}

/** Writes one run; returns how much of the page's capacity is used, or DELTA_OVERFLOW. */
@inline function storeRun(out: usize, used: u32, page: usize, pageBytes: u32, unchanged: u32, start: u32, changed: u32): i32 {
  if (pageBytes - used < roomForLength(unchanged)) return DELTA_OVERFLOW;
  let at = storeLength(out + used, unchanged);
  used = <u32>(at - out);
  if (pageBytes - used < roomForLength(changed)) return DELTA_OVERFLOW;
  at = storeLength(at, changed);
  used = <u32>(at - out);
  if (pageBytes - used < changed) return DELTA_OVERFLOW;
  if (changed <= 16 && pageBytes - used >= 16 && pageBytes - start >= 16) {
    store<v128>(at, load<v128>(page + start));
  } else {
    copyRun(at, page + start, changed);
  }
  return used + changed;
}

@inline function encodePage(before: usize, after: usize, pageBytes: u32, out: usize): i32 {
  let used: i32 = 0;
  let unchangedStart: u32 = 0;
  let changedStart: u32 = 0;
  let isChanged = false;
  for (let base: u32 = 0; base < pageBytes; base += 64) {
    let changes: u64 = 0;
    if (v128.any_true(difference64(before + base, after + base))) {
      changes = changedBytes(before + base, after + base);
    } else if (!isChanged) {
      continue;
    }
    if (isChanged) {
      if (changes == ~(<u64>0)) continue;
      const end = <u32>ctz<u64>(~changes);
      used = storeRun(out, used, after, pageBytes, changedStart - unchangedStart, changedStart, base + end - changedStart);
      if (used < 0) return used;
      unchangedStart = base + end;
      isChanged = false;
      changes &= ~(<u64>0) << end;
    }
    while (changes != 0) {
      const start = <u32>ctz<u64>(changes);
      changedStart = base + start;
      // A carry runs through the lowest run of ones and stops behind it.
      const carried = changes + (<u64>1 << start);
      if (carried == 0) {
        isChanged = true;
        break;
      }
      const end = <u32>ctz<u64>(carried);
      used = storeRun(out, used, after, pageBytes, changedStart - unchangedStart, changedStart, base + end - changedStart);
      if (used < 0) return used;
      unchangedStart = base + end;
      changes &= carried;
    }
  }
  if (isChanged) return storeRun(out, used, after, pageBytes, changedStart - unchangedStart, changedStart, pageBytes - changedStart);
  if (used != 0 && pageBytes - used < roomForLength(pageBytes - unchangedStart)) return DELTA_OVERFLOW;
  return used;
}

/**
 * Encodes what changed from page `before` to page `after` into `out`. Returns the payload's bytes, 0 where the pages are equal, or
 * DELTA_OVERFLOW.
 * Before: three regions of pageBytes, `out` overlaps neither page. After: only `out` changes; beyond the payload its content is open.
 */
export function deltaEncode(before: usize, after: usize, pageBytes: u32, out: usize): i32 {
  assert(isPageSize(pageBytes));
  assert(isInside(before, pageBytes) && isInside(after, pageBytes) && isInside(out, pageBytes));
  return encodePage(before, after, pageBytes, out);
}

/**
 * Encodes a list of pages: beforePages[i] of region `before` against afterPages[i] of region `after` (u32 each; both lists may be the
 * same). lengths[i] (i32) becomes the payload's bytes, 0 or DELTA_OVERFLOW; the payloads stand in `out` without gaps.
 * Returns the stream's bytes, or DELTA_PAGE_NUMBER with nothing written.
 * Before: `out` has listLength × pageBytes bytes and overlaps no input.
 */
export function deltaEncodeList(
  before: usize,
  beforePageCount: u32,
  beforePages: usize,
  after: usize,
  afterPageCount: u32,
  afterPages: usize,
  listLength: u32,
  pageBytes: u32,
  lengths: usize,
  out: usize,
): i32 {
  assert(isPageSize(pageBytes));
  assert(isInside(before, <u64>beforePageCount * pageBytes) && isInside(after, <u64>afterPageCount * pageBytes));
  assert(isInside(beforePages, <u64>listLength << 2) && isInside(afterPages, <u64>listLength << 2));
  assert(isInside(lengths, <u64>listLength << 2) && isInside(out, <u64>listLength * pageBytes));
  if (!arePagesBelow(beforePages, listLength, beforePageCount)) return DELTA_PAGE_NUMBER;
  if (!arePagesBelow(afterPages, listLength, afterPageCount)) return DELTA_PAGE_NUMBER;
  let at = out;
  for (; listLength != 0; listLength--) {
    const length = encodePage(
      pageAt(before, load<u32>(beforePages), pageBytes),
      pageAt(after, load<u32>(afterPages), pageBytes),
      pageBytes,
      at,
    );
    store<i32>(lengths, length);
    if (length > 0) at += length;
    beforePages += 4;
    afterPages += 4;
    lengths += 4;
  }
  return <i32>(at - out);
}

/** How many bytes the length at `at` takes, of which two are left at least; 0 where it is malformed. */
@inline function lengthBytesAt(at: usize, left: u32, pageBytes: u32): u32 {
  if (load<u8>(at) < 0x80) return 1;
  if (load<u8>(at, 1) < 0x80) return 2;
  if (pageBytes <= TWO_BYTE_LENGTH_PAGE_BYTES || left < 3 || load<u8>(at, 2) >= 0x80) return 0;
  return 3;
}

/** A valid length of that many bytes. Apart from lengthBytesAt: the next read then waits for a predicted branch, not for this value. */
@inline function lengthAt(at: usize, lengthBytes: u32): u32 {
  const first = <u32>load<u8>(at);
  if (lengthBytes == 1) return first;
  const low = (first & 0x7f) | ((<u32>load<u8>(at, 1) & 0x7f) << 7);
  if (lengthBytes == 2) return low;
  return low | (<u32>load<u8>(at, 2) << 14);
}

/** Whether a payload keeps to the format and to its page. Reads lengths only. */
function isValidPayload(payload: usize, payloadBytes: u32, pageBytes: u32): bool {
  let at = payload;
  let left = payloadBytes;
  let pageLeft = pageBytes;
  while (left != 0) {
    if (left < 2) return false;
    const unchangedLengthBytes = lengthBytesAt(at, left, pageBytes);
    if (unchangedLengthBytes == 0) return false;
    const unchanged = lengthAt(at, unchangedLengthBytes);
    if ((unchanged == 0 && at != payload) || unchanged > pageLeft) return false;
    at += unchangedLengthBytes;
    left -= unchangedLengthBytes;
    pageLeft -= unchanged;
    if (left < 2) return false;
    const changedLengthBytes = lengthBytesAt(at, left, pageBytes);
    if (changedLengthBytes == 0) return false;
    const changed = lengthAt(at, changedLengthBytes);
    left -= changedLengthBytes;
    if (changed == 0 || changed > pageLeft || changed > left) return false;
    at += changedLengthBytes + changed;
    left -= changed;
    pageLeft -= changed;
  }
  return true;
}

/** Writes a valid payload's changed runs into the page. */
@inline function applyPayload(payload: usize, payloadBytes: u32, page: usize, pageBytes: u32): void {
  const end = payload + payloadBytes;
  const pageEnd = page + pageBytes;
  while (payload != end) {
    // In a valid payload no length ends early: three bytes may be taken as left.
    const unchangedLengthBytes = lengthBytesAt(payload, 3, pageBytes);
    page += lengthAt(payload, unchangedLengthBytes);
    payload += unchangedLengthBytes;
    const changedLengthBytes = lengthBytesAt(payload, 3, pageBytes);
    const changed = lengthAt(payload, changedLengthBytes);
    payload += changedLengthBytes;
    if (changed <= 16 && end - payload >= 16 && pageEnd - page >= 16) {
      const lanes = i8x16.lt_u(v128(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), i8x16.splat(<i8>changed));
      store<v128>(page, v128.bitselect(load<v128>(payload), load<v128>(page), lanes));
    } else {
      copyRun(page, payload, changed);
    }
    payload += changed;
    page += changed;
  }
}

/**
 * Applies a payload to the page that it was encoded against. Returns 0, or DELTA_MALFORMED with the page untouched. An empty payload
 * leaves the page as it is. Before: payload and page do not overlap.
 */
export function deltaDecode(payload: usize, payloadBytes: u32, page: usize, pageBytes: u32): i32 {
  assert(isPageSize(pageBytes));
  assert(isInside(payload, payloadBytes) && isInside(page, pageBytes));
  if (!isValidPayload(payload, payloadBytes, pageBytes)) return DELTA_MALFORMED;
  applyPayload(payload, payloadBytes, page, pageBytes);
  return 0;
}

/**
 * Applies a stream of payloads, payload i (lengths[i] bytes, i32, not negative) to page pageList[i] of `pages`. Returns 0 or an error,
 * on an error with all pages untouched. Before: the stream overlaps no page.
 */
export function deltaDecodeList(
  stream: usize,
  streamBytes: u32,
  lengths: usize,
  pages: usize,
  pageCount: u32,
  pageList: usize,
  listLength: u32,
  pageBytes: u32,
): i32 {
  assert(isPageSize(pageBytes));
  assert(isInside(stream, streamBytes) && isInside(pages, <u64>pageCount * pageBytes));
  assert(isInside(lengths, <u64>listLength << 2) && isInside(pageList, <u64>listLength << 2));
  if (!arePagesBelow(pageList, listLength, pageCount)) return DELTA_PAGE_NUMBER;
  let at = stream;
  let left = streamBytes;
  for (let index: u32 = 0; index < listLength; index++) {
    const length = load<u32>(lengths + (<usize>index << 2));
    if (length > left) return DELTA_STREAM_LENGTH;
    if (!isValidPayload(at, length, pageBytes)) return DELTA_MALFORMED;
    at += length;
    left -= length;
  }
  if (left != 0) return DELTA_STREAM_LENGTH;
  at = stream;
  for (; listLength != 0; listLength--) {
    const length = load<u32>(lengths);
    applyPayload(at, length, pageAt(pages, load<u32>(pageList), pageBytes), pageBytes);
    at += length;
    lengths += 4;
    pageList += 4;
  }
  return 0;
}
