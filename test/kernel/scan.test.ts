import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { builds } from "../support/builds.js";
import { expectSameBytes } from "../support/bytes.js";
import { guarded } from "../support/guarded.js";
import { bits, PAGE_SIZES } from "../support/pages.js";
import { Random } from "../support/random.js";
import { changedPages, fillWords, zeroPages } from "../twin/scan.js";

describe.each(builds)("scan, $name build", ({ create }) => {
  const { arena, scan } = create();

  /** Pages that are zero, filled, or nearly so: one byte off at any place. */
  const regions = fc.record({
    pageBytes: fc.constantFrom(...PAGE_SIZES),
    pages: fc.array(
      fc.record({ word: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), zero: fc.boolean(), flip: fc.option(fc.nat()) }),
      {
        maxLength: 9,
      },
    ),
    misalignment: fc.constantFrom(0, 1, 8, 16, 63),
  });

  function lay(pageBytes: number, pages: readonly { word: bigint; zero: boolean; flip: number | null }[]): Uint8Array {
    const region = new Uint8Array(pages.length * pageBytes);
    pages.forEach(({ word, zero, flip }, page) => {
      const bytes = region.subarray(page * pageBytes, (page + 1) * pageBytes);
      if (!zero) new BigUint64Array(bytes.buffer, bytes.byteOffset, pageBytes / 8).fill(word);
      if (flip !== null) bytes[flip % pageBytes] = (bytes[flip % pageBytes] as number) ^ 1;
    });
    return region;
  }

  it("finds zero, filled and changed pages as the plain twin does", () => {
    fc.assert(
      fc.property(regions, ({ pageBytes, pages, misalignment }) => {
        const mark = arena.mark();
        const region = lay(pageBytes, pages);
        const plain = lay(
          pageBytes,
          pages.map((page) => ({ ...page, flip: null })),
        );
        const left = guarded(arena, region.length, misalignment);
        const right = guarded(arena, region.length, 7);
        const bitmap = guarded(arena, Math.ceil(pages.length / 64) * 8);
        const words = guarded(arena, pages.length * 8);
        left.span.bytes.set(region);
        right.span.bytes.set(plain);

        const zero = zeroPages(region, pageBytes);
        expect(scan.zero(left.span, pageBytes, bitmap.span)).toBe(zero.filter(Boolean).length);
        expect(bits(bitmap.span, pages.length)).toEqual(zero);

        const fill = fillWords(region, pageBytes);
        expect(scan.fill(left.span, pageBytes, bitmap.span, words.span)).toBe(
          fill.filter((word) => word !== undefined).length,
        );
        expect(bits(bitmap.span, pages.length)).toEqual(fill.map((word) => word !== undefined));
        expect(Array.from(words.span.u64)).toEqual(fill.map((word) => word ?? 0n));

        const changed = changedPages(region, plain, pageBytes);
        expect(scan.compare(left.span, right.span, pageBytes, bitmap.span)).toBe(changed.filter(Boolean).length);
        expect(bits(bitmap.span, pages.length)).toEqual(changed);

        expect([left, right, bitmap, words].every((buffer) => buffer.isIntact())).toBe(true);
        expectSameBytes(left.span.bytes, region);
        arena.release(mark);
      }),
      { numRuns: 150, seed: 1 },
    );
  });

  it.each(PAGE_SIZES)("sees one changed byte wherever it is in a page of %i bytes", (pageBytes) => {
    const mark = arena.mark();
    const left = arena.allocatePages(1, pageBytes);
    const right = arena.allocatePages(1, pageBytes);
    const bitmap = arena.allocateBitmap(1);
    const words = arena.allocate(8);
    left.bytes.fill(0);
    right.bytes.fill(0);
    for (let at = 0; at < pageBytes; at += pageBytes > 4096 && at % 64 > 1 && at % 64 < 62 ? 13 : 1) {
      left.bytes[at] = 0x80;
      expect(scan.zero(left, pageBytes, bitmap)).toBe(0);
      expect(scan.fill(left, pageBytes, bitmap, words)).toBe(0);
      expect(scan.compare(left, right, pageBytes, bitmap)).toBe(1);
      left.bytes[at] = 0;
    }
    arena.release(mark);
  });

  it("fills whole bitmap words, whatever the number of pages", () => {
    for (const pageCount of [0, 1, 63, 64, 65, 127, 128, 129]) {
      const mark = arena.mark();
      const pages = arena.allocatePages(pageCount, 1024);
      const bitmap = guarded(arena, Math.ceil(pageCount / 64) * 8);
      pages.bytes.fill(0);
      bitmap.span.bytes.fill(0xff);
      expect(scan.zero(pages, 1024, bitmap.span)).toBe(pageCount);
      expect(bits(bitmap.span, bitmap.span.byteLength * 8)).toEqual(
        Array.from({ length: bitmap.span.byteLength * 8 }, (_, page) => page < pageCount),
      );
      expect(bitmap.isIntact()).toBe(true);
      arena.release(mark);
    }
  });

  it("compares random regions as the twin does", () => {
    const random = new Random(7);
    const left = arena.allocatePages(130, 4096);
    const right = arena.allocatePages(130, 4096);
    const bitmap = arena.allocateBitmap(130);
    left.bytes.set(random.memoryLike(left.byteLength));
    right.bytes.set(left.bytes);
    random.change(right.bytes, 70, 5000);
    expect(scan.compare(left, right, 4096, bitmap)).toBeGreaterThan(10);
    expect(bits(bitmap, 130)).toEqual(changedPages(left.bytes, right.bytes, 4096));
  });
});
