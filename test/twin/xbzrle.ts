/** XBZRLE byte by byte, as its description has it: the plain twin of the delta kernels. */

export const OVERFLOW = -1;

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  if (length < 0x4000) return [(length & 0x7f) | 0x80, length >> 7];
  return [(length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14];
}

/** The payload's length in `out`, 0 where nothing changed, or OVERFLOW. */
export function encode(before: Uint8Array, after: Uint8Array, out: Uint8Array): number {
  const pageBytes = after.length;
  let used = 0;
  let at = 0;
  while (at < pageBytes) {
    if (pageBytes - used < 2) return OVERFLOW;
    const unchangedStart = at;
    while (at < pageBytes && before[at] === after[at]) at++;
    if (at === pageBytes) break;
    const changedStart = at;
    while (at < pageBytes && before[at] !== after[at]) at++;
    for (const length of [changedStart - unchangedStart, at - changedStart]) {
      const bytes = lengthBytes(length);
      if (pageBytes - used < Math.max(2, bytes.length)) return OVERFLOW;
      out.set(bytes, used);
      used += bytes.length;
    }
    if (pageBytes - used < at - changedStart) return OVERFLOW;
    out.set(after.subarray(changedStart, at), used);
    used += at - changedStart;
  }
  return used;
}

/** The page after the payload, or undefined where the payload is malformed. */
export function decode(payload: Uint8Array, page: Uint8Array): Uint8Array | undefined {
  const result = page.slice();
  const maxLengthBytes = page.length > 16384 ? 3 : 2;
  let at = 0;
  let to = 0;
  const readLength = (): number | undefined => {
    let length = 0;
    for (let index = 0; index < maxLengthBytes; index++) {
      const byte = payload[at++];
      if (byte === undefined) return undefined;
      length |= (byte & 0x7f) << (7 * index);
      if (byte < 0x80) return length;
    }
    return undefined;
  };
  while (at < payload.length) {
    const isFirst = at === 0;
    if (payload.length - at < 2) return undefined;
    const unchanged = readLength();
    if (unchanged === undefined || (unchanged === 0 && !isFirst)) return undefined;
    to += unchanged;
    if (to > page.length || payload.length - at < 2) return undefined;
    const changed = readLength();
    if (changed === undefined || changed === 0) return undefined;
    if (to + changed > page.length || at + changed > payload.length) return undefined;
    result.set(payload.subarray(at, at + changed), to);
    at += changed;
    to += changed;
  }
  return result;
}
