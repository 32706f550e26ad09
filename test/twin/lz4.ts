/** LZ4 block decoding byte by byte, as the format's description has it: the plain twin of the decompressor. */

/** The block's content, or undefined where the block is malformed or does not hold exactly `outputBytes` bytes. */
export function decompress(block: Uint8Array, outputBytes: number): Uint8Array | undefined {
  const output = new Uint8Array(outputBytes);
  let at = 0;
  let to = 0;
  const readLength = (nibble: number): number | undefined => {
    let length = nibble;
    if (nibble < 15) return length;
    for (;;) {
      const byte = block[at++];
      if (byte === undefined) return undefined;
      length += byte;
      if (byte < 255) return length;
    }
  };
  for (;;) {
    const token = block[at++];
    if (token === undefined) return undefined;
    const literals = readLength(token >> 4);
    if (literals === undefined || at + literals > block.length || to + literals > outputBytes) return undefined;
    output.set(block.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at === block.length) return to === outputBytes ? output : undefined;
    if (block.length - at < 2) return undefined;
    const offset = (block[at] as number) | ((block[at + 1] as number) << 8);
    at += 2;
    if (offset === 0 || offset > to) return undefined;
    const length = readLength(token & 15);
    if (length === undefined || to + length + 4 > outputBytes) return undefined;
    for (let copied = 0; copied < length + 4; copied++, to++) output[to] = output[to - offset] as number;
  }
}
