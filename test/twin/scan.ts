/** The plain twins of the scan kernels: one answer per page. */

function pagesOf(region: Uint8Array, pageBytes: number): Uint8Array[] {
  return Array.from({ length: region.length / pageBytes }, (_, page) =>
    region.subarray(page * pageBytes, (page + 1) * pageBytes),
  );
}

export function zeroPages(region: Uint8Array, pageBytes: number): boolean[] {
  return pagesOf(region, pageBytes).map((page) => page.every((byte) => byte === 0));
}

/** The repeated word of each page, or undefined. */
export function fillWords(region: Uint8Array, pageBytes: number): (bigint | undefined)[] {
  return pagesOf(region, pageBytes).map((page) =>
    page.every((byte, at) => byte === page[at % 8])
      ? new DataView(page.buffer, page.byteOffset).getBigUint64(0, true)
      : undefined,
  );
}

export function changedPages(left: Uint8Array, right: Uint8Array, pageBytes: number): boolean[] {
  const others = pagesOf(right, pageBytes);
  return pagesOf(left, pageBytes).map((page, index) => page.some((byte, at) => byte !== others[index]?.[at]));
}
