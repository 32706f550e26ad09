type Pages = readonly (readonly [page: number, bytes: Uint8Array])[];

function page(byteAt: (at: number) => number): Uint8Array {
  return Uint8Array.from({ length: 1024 }, (_, at) => byteAt(at));
}

/**
 * The pages of the golden batches in test/wire/golden: 16 pages of 1 KiB of which the destination holds `held`, the others being zero, and what
 * is added to them, in the batch's order.
 */
export function goldenMachine(): { readonly held: Pages; readonly added: Pages } {
  const four = page((at) => at * 3);
  const eight = page((at) => (at >> 3) + (at & 7));
  const nine = page((at) => at >> 2);
  const newEight = eight.slice();
  newEight.set([0xaa, 0xbb], 100);
  const newNine = nine.slice();
  newNine[0] = 0xff;
  return {
    held: [
      [4, four],
      [8, eight],
      [9, nine],
    ],
    added: [
      [0, new Uint8Array(2048)],
      [2, page((at) => (at & 7) + 1)],
      [5, four],
      [8, newEight],
      [9, newNine],
      [
        12,
        page((at) => {
          if (at < 512) return at < 256 ? at : 0;
          return (at & 1) === 1 ? 0x20 : at >> 2;
        }),
      ],
      [7, new Uint8Array(1024)],
    ],
  };
}
