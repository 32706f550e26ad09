/** Whether two pieces of equal length hold the same bytes. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  // Node compares natively, ten times faster.
  if (globalThis.Buffer !== undefined) return Buffer.compare(left, right) === 0;
  if (left.length !== right.length) return false;
  if (((left.byteOffset | right.byteOffset | left.length) & 3) !== 0)
    return left.every((byte, at) => byte === right[at]);
  const [leftWords, rightWords] = [wordsOf(left), wordsOf(right)];
  for (let at = 0; at < leftWords.length; at++) if (leftWords[at] !== rightWords[at]) return false;
  return true;
}

function wordsOf({ buffer, byteOffset, length }: Uint8Array): Int32Array {
  return new Int32Array(buffer, byteOffset, length >> 2);
}
