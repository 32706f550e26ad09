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
