// LZ4 blocks: a compressor and a decompressor that is safe on any input. Source: lz4_Block_format.md of lz4/lz4.
// No frame, no size header, no dictionary: the caller knows both sizes.

import { isInside } from "./page";

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
/** The search takes a step more for every 2^6 positions without a match. */
const SKIP_SHIFT: u32 = 6;
const MAX_TABLE_BITS: u32 = 13;

@inline function hashAt(source: usize, shift: u32): usize {
  // Five bytes, times the prime of the reference; four would find shorter, dearer matches.
  return <usize>(((load<u64>(source) << 24) * 889523592379) >> shift) << 2;
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

/** The table that suits the input: 2^10 entries up to 4 KiB, 2^13 from 32 KiB on. */
@inline function tableBitsFor(inputBytes: u32): u32 {
  const bits = 32 - clz<u32>(inputBytes | 4095) - 2;
  return min<u32>(bits, MAX_TABLE_BITS);
}

/** Where the sequences that emitSequences wrote end in the input: the rest are the last literals. */
let anchor: u32 = 0;

/** Writes all sequences but the last and returns where they end in the output. */
function emitSequences(input: usize, inputBytes: u32, output: usize, state: usize): usize {
  let out = output;
  const tableBits = tableBitsFor(inputBytes);
  const shift = 64 - tableBits;
  memory.fill(state, 0, 4 << tableBits);
  const matchStartEnd = inputBytes - MATCH_START_LIMIT;
  const matchEnd = inputBytes - LAST_LITERALS;
  let position: u32 = 1;
  let nextHash = hashAt(input + 1, shift);

  while (true) {
    let candidate: u32 = 0;
    let attempts: u32 = 1 << SKIP_SHIFT;
    let next = position;
    while (true) {
      position = next;
      const hash = nextHash;
      next = position + (attempts++ >> SKIP_SHIFT);
      if (next > matchStartEnd) return out;
      candidate = load<u32>(state + hash);
      nextHash = hashAt(input + next, shift);
      store<u32>(state + hash, position);
      if (position - candidate <= MAX_OFFSET && load<u32>(input + candidate) == load<u32>(input + position)) break;
    }
    while (position > anchor && candidate > 0 && load<u8>(input + position - 1) == load<u8>(input + candidate - 1)) {
      position--;
      candidate--;
    }

    let literals = position - anchor;
    let token = out++;
    if (literals < 15) {
      store<u8>(token, literals << 4);
    } else {
      store<u8>(token, 0xf0);
      out = storeExtraLength(out, literals - 15);
    }
    // A match starts at least 12 bytes before the end, so 12 bytes may be read beyond the literals, and the bound has room.
    if (literals <= 12) {
      store<u64>(out, load<u64>(input + anchor));
      store<u32>(out, load<u32>(input + anchor, 8), 8);
    } else if (inputBytes - position >= 16) {
      let copied: u32 = 0;
      do {
        store<v128>(out + copied, load<v128>(input + anchor + copied));
        copied += 16;
      } while (copied < literals);
    } else {
      memory.copy(out, input + anchor, literals);
    }
    out += literals;

    while (true) {
      store<u16>(out, position - candidate);
      out += 2;
      const extra = equalBytes(
        input + position + MIN_MATCH,
        input + candidate + MIN_MATCH,
        matchEnd - position - MIN_MATCH,
      );
      position += MIN_MATCH + extra;
      if (extra < 15) {
        store<u8>(token, load<u8>(token) | extra);
      } else {
        store<u8>(token, load<u8>(token) | 15);
        out = storeExtraLength(out, extra - 15);
      }
      anchor = position;
      if (position > matchStartEnd) return out;

      store<u32>(state + hashAt(input + position - 2, shift), position - 2);
      const hash = hashAt(input + position, shift);
      candidate = load<u32>(state + hash);
      store<u32>(state + hash, position);
      if (position - candidate > MAX_OFFSET || load<u32>(input + candidate) != load<u32>(input + position)) break;
      token = out++;
      store<u8>(token, 0);
    }
    position++;
    if (position > matchStartEnd) return out;
    nextHash = hashAt(input + position, shift);
  }
}

/**
 * Compresses `inputBytes` bytes (at most 0x7e000000) into one block and returns its length; never fails.
 * Before: `output` has inputBytes + inputBytes / 255 + 16 bytes, `state` 32 KiB; the three do not overlap. What the state holds does
 * not matter, and the block depends on the input alone.
 */
export function lz4Compress(input: usize, inputBytes: u32, output: usize, state: usize): u32 {
  assert(inputBytes <= 0x7e000000 && isInside(input, inputBytes));
  assert(isInside(output, <u64>inputBytes + inputBytes / 255 + 16) && isInside(state, 4 << MAX_TABLE_BITS));
  anchor = 0;
  let out = inputBytes > MATCH_START_LIMIT ? emitSequences(input, inputBytes, output, state) : output;
  const literals = inputBytes - anchor;
  if (literals < 15) {
    store<u8>(out++, literals << 4);
  } else {
    store<u8>(out++, 0xf0);
    out = storeExtraLength(out, literals - 15);
  }
  memory.copy(out, input + anchor, literals);
  return <u32>(out + literals - output);
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
