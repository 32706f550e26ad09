/** Nonzero where the 64 bytes at `left` and at `right` differ. */
@inline export function difference64(left: usize, right: usize): v128 {
  return v128.or(
    v128.or(
      v128.xor(load<v128>(left), load<v128>(right)),
      v128.xor(load<v128>(left, 16), load<v128>(right, 16)),
    ),
    v128.or(
      v128.xor(load<v128>(left, 32), load<v128>(right, 32)),
      v128.xor(load<v128>(left, 48), load<v128>(right, 48)),
    ),
  );
}

/**
 * Copies `bytes` bytes between regions that do not overlap, touching nothing beyond them. memory.copy is a call out of WebAssembly in
 * V8, and slow where `to` is a little above `from` in the low 12 bits, as with page-aligned buffers.
 */
export function copyBytes(to: usize, from: usize, bytes: u32): void {
  if (bytes >= 16) {
    const toLast = to + bytes - 16;
    const last = load<v128>(from + bytes - 16);
    while (to < toLast) {
      store<v128>(to, load<v128>(from));
      to += 16;
      from += 16;
    }
    store<v128>(toLast, last);
  } else if (bytes >= 8) {
    const last = load<u64>(from + bytes - 8);
    store<u64>(to, load<u64>(from));
    store<u64>(to + bytes - 8, last);
  } else if (bytes >= 4) {
    const last = load<u32>(from + bytes - 4);
    store<u32>(to, load<u32>(from));
    store<u32>(to + bytes - 4, last);
  } else if (bytes != 0) {
    // The first, the middle and the last of up to three bytes.
    store<u8>(to, load<u8>(from));
    store<u8>(to + (bytes >> 1), load<u8>(from + (bytes >> 1)));
    store<u8>(to + bytes - 1, load<u8>(from + bytes - 1));
  }
}
