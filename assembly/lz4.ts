// LZ4 blocks: a compressor and a decompressor that is safe on any input. Source: lz4_Block_format.md of lz4/lz4.
// No frame, no size header, no dictionary: the caller knows both sizes.

import { isInside } from "./page";
import { copyBytes } from "./vector";

/** The input ends inside a sequence. */
export const LZ4_TRUNCATED: i32 = -1;
/** A match starts before the output, or at distance 0. */
export const LZ4_OFFSET: i32 = -2;
/** The block holds more bytes than the output has. */
export const LZ4_TOO_LONG: i32 = -3;
/** The block holds fewer bytes than the output has. */
export const LZ4_TOO_SHORT: i32 = -4;

const MIN_MATCH: u32 = 4;
const LAST_LITERALS: u32 = 5;
/** No match starts in the last 12 bytes. */
const MATCH_START_LIMIT: u32 = 12;
const MAX_OFFSET: u32 = 65535;
/** The search skips a position more for every 2^4 steps without a match. */
const SKIP_SHIFT: u32 = 4;
const MIN_TABLE_BITS: u32 = 10;
const MAX_TABLE_BITS: u32 = 13;
/** Up to here short matches pay; in longer inputs there are enough long ones, and fewer sequences take less time. */
const SHORT_INPUT: u32 = 16384;
/** The reference's primes for hashes of 5 and 6 bytes, shifted so that the product drops the bytes above. */
const HASH_5_BYTES: u64 = 889523592379 << 24;
const HASH_6_BYTES: u64 = 227718039650203 << 16;

/** Where the table's entry for a position with these 8 bytes stands, from the table's start. */
@inline function slotOf<Entry>(bytes: u64, multiplier: u64, shift: u32): usize {
  return <usize>((bytes * multiplier) >> shift) * sizeof<Entry>();
}

@inline function storeExtraLength(at: usize, extra: u32): usize {
  while (extra >= 255) {
    store<u8>(at++, 255);
    extra -= 255;
  }
  store<u8>(at, extra);
  return at + 1;
}

/** How many bytes from `left` and `right` on are equal, at most `limit`; reads `limit` bytes of each and no more. */
@inline function equalBytes(left: usize, right: usize, limit: u32): u32 {
  let equal: u32 = 0;
  while (limit - equal >= 16) {
    const same = <u32>i8x16.bitmask(i8x16.eq(load<v128>(left + equal), load<v128>(right + equal)));
    if (same != 0xffff) return equal + ctz<u32>(~same);
    equal += 16;
  }
  while (equal < limit && load<u8>(left + equal) == load<u8>(right + equal)) equal++;
  return equal;
}

/** The table has an entry for each 2 to 4 input bytes, within its limits. */
@inline function tableBitsFor(inputBytes: u32): u32 {
  return max<u32>(min<u32>(31 - clz<u32>(inputBytes), MAX_TABLE_BITS), MIN_TABLE_BITS);
}

/** Whether a match can start here: four equal bytes, near enough. Entries of two bytes cannot reach too far. */
@inline function isMatch<Entry>(match: usize, at: usize, bytes: u64): bool {
  return load<u32>(match) == <u32>bytes && (sizeof<Entry>() == 2 || at - match <= MAX_OFFSET);
}

/** Writes the sequence that ends the block and returns where that ends. */
function storeLastLiterals(out: usize, anchor: usize, inputEnd: usize): usize {
  const literals = <u32>(inputEnd - anchor);
  if (literals < 15) {
    store<u8>(out++, literals << 4);
  } else {
    store<u8>(out++, 0xf0);
    out = storeExtraLength(out, literals - 15);
  }
  copyBytes(out, anchor, literals);
  return out + literals;
}

/** Writes the block and returns where it ends. */
function compress<Entry>(input: usize, inputBytes: u32, output: usize, state: usize): usize {
  let out = output;
  let anchor = input;
  const tableBits = tableBitsFor(inputBytes);
  const shift = 64 - tableBits;
  const multiplier = inputBytes <= SHORT_INPUT ? HASH_5_BYTES : HASH_6_BYTES;
  memory.fill(state, 0, sizeof<Entry>() << tableBits);
  const inputEnd = input + inputBytes;
  const matchStartEnd = inputEnd - MATCH_START_LIMIT;
  const matchEnd = inputEnd - LAST_LITERALS - MIN_MATCH;
  let at = input + 1;

  while (true) {
    let match: usize;
    let steps: u32 = 1 << SKIP_SHIFT;
    // Two positions a step: they share the load and the loop's overhead.
    while (true) {
      // A signed difference, since a wide step may carry `at` past 4 GiB.
      if (<i32>(matchStartEnd - at) <= 0) return storeLastLiterals(out, anchor, inputEnd);
      const bytes = load<u64>(at);
      const entry = state + slotOf<Entry>(bytes, multiplier, shift);
      match = input + <usize>load<Entry>(entry);
      store<Entry>(entry, <Entry>(at - input));
      if (isMatch<Entry>(match, at, bytes)) break;
      at++;
      const nextEntry = state + slotOf<Entry>(bytes >> 8, multiplier, shift);
      match = input + <usize>load<Entry>(nextEntry);
      store<Entry>(nextEntry, <Entry>(at - input));
      if (isMatch<Entry>(match, at, bytes >> 8)) break;
      at += steps++ >> SKIP_SHIFT;
    }
    while (at > anchor && match > input && load<u8>(at - 1) == load<u8>(match - 1)) {
      at--;
      match--;
    }

    const literals = <u32>(at - anchor);
    let token = out++;
    let literalBits = literals << 4;
    if (literals >= 15) {
      literalBits = 0xf0;
      out = storeExtraLength(out, literals - 15);
    }
    if (inputEnd - at >= 16) {
      const literalsEnd = out + literals;
      do {
        store<v128>(out, load<v128>(anchor));
        out += 16;
        anchor += 16;
      } while (out < literalsEnd);
      out = literalsEnd;
    } else {
      copyBytes(out, anchor, literals);
      out += literals;
    }

    while (true) {
      store<u16>(out, <u16>(at - match));
      out += 2;
      const extra = equalBytes(at + MIN_MATCH, match + MIN_MATCH, <u32>(matchEnd - at));
      at += MIN_MATCH + extra;
      if (extra < 15) {
        store<u8>(token, literalBits | extra);
      } else {
        store<u8>(token, literalBits | 15);
        out = storeExtraLength(out, extra - 15);
      }
      anchor = at;
      if (at > matchStartEnd) return storeLastLiterals(out, anchor, inputEnd);

      const bytes = load<u64>(at);
      const entry = state + slotOf<Entry>(bytes, multiplier, shift);
      match = input + <usize>load<Entry>(entry);
      store<Entry>(entry, <Entry>(at - input));
      if (!isMatch<Entry>(match, at, bytes)) break;
      token = out++;
      literalBits = 0;
    }
    at++;
  }
}

/**
 * Compresses `inputBytes` bytes (at most 0x7e000000) into one block and returns its length; never fails.
 * Before: `output` has inputBytes + inputBytes / 255 + 16 bytes, `state` 32 KiB, of which inputs of up to 64 KiB use 16 at most; the
 * three do not overlap. What the state holds does not matter, and the block depends on the input alone.
 */
export function lz4Compress(input: usize, inputBytes: u32, output: usize, state: usize): u32 {
  assert(inputBytes <= 0x7e000000 && isInside(input, inputBytes));
  assert(isInside(output, <u64>inputBytes + inputBytes / 255 + 16) && isInside(state, 4 << MAX_TABLE_BITS));
  let end: usize;
  if (inputBytes <= MATCH_START_LIMIT) {
    end = storeLastLiterals(output, input, input + inputBytes);
  } else if (inputBytes <= MAX_OFFSET + 1) {
    end = compress<u16>(input, inputBytes, output, state);
  } else {
    end = compress<u32>(input, inputBytes, output, state);
  }
  return <u32>(end - output);
}

/**
 * Decompresses one block into exactly `outputBytes` bytes. Returns outputBytes, or a negative error; the output's content is then
 * open. Reads nothing outside the input and writes nothing outside the output, whatever the input holds.
 * Before: input and output do not overlap.
 */
export function lz4Decompress(input: usize, inputBytes: u32, output: usize, outputBytes: u32): i32 {
  assert(outputBytes <= 0x7e000000 && isInside(input, inputBytes) && isInside(output, outputBytes));
  let at = input;
  let left = inputBytes;
  let out = output;
  let room = outputBytes;

  while (true) {
    if (left == 0) return LZ4_TRUNCATED;
    const token = <u32>load<u8>(at++);
    left--;

    let literals = token >> 4;
    if (literals < 15 && left >= 16 && room >= 16) {
      store<v128>(out, load<v128>(at));
    } else {
      if (literals == 15) {
        let byte: u32;
        do {
          if (left == 0) return LZ4_TRUNCATED;
          byte = load<u8>(at++);
          left--;
          literals += byte;
          if (literals > room) return LZ4_TOO_LONG;
        } while (byte == 255);
      }
      if (literals > left) return LZ4_TRUNCATED;
      if (literals > room) return LZ4_TOO_LONG;
      if (left - literals >= 16 && room - literals >= 16) {
        let copied: u32 = 0;
        do {
          store<v128>(out + copied, load<v128>(at + copied));
          copied += 16;
        } while (copied < literals);
      } else {
        memory.copy(out, at, literals);
      }
    }
    at += literals;
    left -= literals;
    out += literals;
    room -= literals;
    if (left == 0) return room == 0 ? <i32>outputBytes : LZ4_TOO_SHORT;

    if (left < 2) return LZ4_TRUNCATED;
    const offset = <u32>load<u16>(at);
    at += 2;
    left -= 2;
    if (offset == 0 || offset > outputBytes - room) return LZ4_OFFSET;
    let length = (token & 15) + MIN_MATCH;
    let match = out - offset;
    if (length != 15 + MIN_MATCH && offset >= 16 && room >= 32) {
      store<v128>(out, load<v128>(match));
      store<u16>(out, load<u16>(match, 16), 16);
      out += length;
      room -= length;
      continue;
    }
    if (length == 15 + MIN_MATCH) {
      let byte: u32;
      do {
        if (left == 0) return LZ4_TRUNCATED;
        byte = load<u8>(at++);
        left--;
        length += byte;
        if (length > room) return LZ4_TOO_LONG;
      } while (byte == 255);
    }
    if (length > room) return LZ4_TOO_LONG;
    if (room - length >= 16) {
      // A match nearer than 16 bytes repeats: each copy of what is there doubles the distance.
      let distance = offset;
      let rest = length;
      let to = out;
      while (distance < 16 && rest > distance) {
        store<v128>(to, load<v128>(match));
        to += distance;
        rest -= distance;
        distance <<= 1;
      }
      while (true) {
        store<v128>(to, load<v128>(match));
        if (rest <= 16) break;
        to += 16;
        match += 16;
        rest -= 16;
      }
    } else {
      for (let copied: u32 = 0; copied < length; copied++) store<u8>(out + copied, load<u8>(match + copied));
    }
    out += length;
    room -= length;
  }
}
