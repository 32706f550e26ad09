import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Span } from "../../src/index.js";
import { clearBits, hasBit, nextSetBit, previousSetBit, setBit, setBits } from "../../src/kernel/bitmap.js";
import { builds } from "../support/builds.js";
import { guarded } from "../support/guarded.js";
import { bits } from "../support/pages.js";

describe.each(builds)("bitmap, $name build", ({ create }) => {
  const { arena, bitmap } = create();

  const maps = fc.integer({ min: 0, max: 400 }).chain((length) => {
    const map = fc.array(fc.oneof(fc.boolean(), fc.constant(true)), { minLength: length, maxLength: length });
    return fc.tuple(map, map);
  });

  function lay(map: readonly boolean[]): Span {
    const span = arena.allocateBitmap(map.length);
    map.forEach((isSet, bit) => {
      if (isSet) span.bytes[bit >> 3] = (span.bytes[bit >> 3] as number) | (1 << (bit & 7));
    });
    return span;
  }

  it("combines maps bit by bit, also into one of the inputs", () => {
    fc.assert(
      fc.property(maps, ([left, right]) => {
        const mark = arena.mark();
        const [a, b] = [lay(left), lay(right)];
        const out = guarded(arena, a.byteLength);
        bitmap.and(a, b, out.span, left.length);
        expect(bits(out.span, left.length)).toEqual(left.map((isSet, bit) => isSet && right[bit]));
        bitmap.or(a, b, out.span, left.length);
        expect(bits(out.span, left.length)).toEqual(left.map((isSet, bit) => isSet || right[bit]));
        bitmap.andNot(a, b, out.span, left.length);
        const difference = left.map((isSet, bit) => isSet && !right[bit]);
        expect(bits(out.span, left.length)).toEqual(difference);
        expect(out.isIntact()).toBe(true);
        bitmap.andNot(a, b, a, left.length);
        expect(bits(a, left.length)).toEqual(difference);
        arena.release(mark);
      }),
      { numRuns: 300, seed: 3 },
    );
  });

  it("counts, lists and walks the set bits, and looks at none beyond the length", () => {
    fc.assert(
      fc.property(maps, fc.nat(400), ([map, beyond], cut) => {
        const mark = arena.mark();
        const length = Math.min(cut, map.length);
        const span = lay(map.map((isSet, bit) => (bit < length ? isSet : (beyond[bit] as boolean))));
        const numbers = map.flatMap((isSet, bit) => (isSet && bit < length ? [bit] : []));
        expect(bitmap.count(span, length)).toBe(numbers.length);
        const out = guarded(arena, numbers.length * 4);
        expect(bitmap.expand(span, length, out.span)).toBe(numbers.length);
        expect(Array.from(out.span.u32)).toEqual(numbers);
        expect(out.isIntact()).toBe(true);

        const walked: number[] = [];
        for (let run = bitmap.nextRun(span, length, 0); run !== undefined; ) {
          expect(run.length).toBeGreaterThan(0);
          for (let bit = run.start; bit < run.start + run.length; bit++) walked.push(bit);
          const end = run.start + run.length;
          run = bitmap.nextRun(span, length, end);
          if (run !== undefined) expect(run.start).toBeGreaterThan(end);
        }
        expect(walked).toEqual(numbers);
        for (let from = 0; from < length; from += 7) {
          expect(bitmap.nextRun(span, length, from)?.start).toBe(numbers.find((bit) => bit >= from));
        }
        arena.release(mark);
      }),
      { numRuns: 300, seed: 4 },
    );
  });

  it("refuses maps that are too short and outputs that overlap", () => {
    const map = arena.allocateBitmap(64);
    const both = arena.allocateBitmap(128);
    const shifted = arena.spanOf(both.bytes.subarray(4, 12));
    expect(() => bitmap.count(map, 65)).toThrow(expect.objectContaining({ code: "span-too-small" }));
    expect(() => bitmap.count(map, 1.5)).toThrow(expect.objectContaining({ code: "argument" }));
    expect(() => bitmap.and(both, map, shifted, 64)).toThrow(expect.objectContaining({ code: "overlap" }));
  });
});

describe("single bits of a bitmap's bytes", () => {
  it("are set beside those that are, and no others", () => {
    const bitmap = Uint8Array.of(0x01, 0, 0x80);
    setBit(bitmap, 3);
    setBit(bitmap, 3);
    setBits(bitmap, 6, 11);
    setBits(bitmap, 20, 0);
    expect([...bitmap]).toEqual([0b1100_1001, 0xff, 0b1000_0001]);
    expect([2, 3, 16, 17].map((bit) => hasBit(bitmap, bit))).toEqual([false, true, true, false]);
  });

  it("are cleared beside those that stay", () => {
    const bitmap = new Uint8Array(3).fill(0xff);
    clearBits(bitmap, 5, 12);
    clearBits(bitmap, 22, 0);
    expect([...bitmap]).toEqual([0b0001_1111, 0, 0b1111_1110]);
  });

  it("are found on either side of a bit, and none outside the range", () => {
    const ranges = fc.tuple(fc.nat(200), fc.nat(200), fc.array(fc.nat(199), { maxLength: 12 }));
    fc.assert(
      fc.property(ranges, ([from, to, numbers]) => {
        const bitmap = new Uint8Array(25);
        for (const bit of numbers) setBit(bitmap, bit);
        const [first, end] = [Math.min(from, to), Math.max(from, to)];
        const inside = numbers.filter((bit) => bit >= first && bit < end);
        expect(nextSetBit(bitmap, end, first)).toBe(Math.min(end, ...inside));
        expect(previousSetBit(bitmap, first, end)).toBe(Math.max(-1, ...inside));
      }),
      { numRuns: 500, seed: 6 },
    );
  });
});
