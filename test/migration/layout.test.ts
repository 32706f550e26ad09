import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryLayout, memoryBytesOf, pagesOf } from "../../src/migration/layout.js";

const machines = fc.record({
  pageBytes: fc.constantFrom(1024, 4096, 65536),
  regions: fc.array(fc.record({ name: fc.constant("ram"), byteLength: fc.nat(300_000) }), { maxLength: 6 }),
});

describe("memory layout", () => {
  it("numbers pages through the regions, each from a page of its own, and then the state's", () => {
    const regions = [
      { name: "low", byteLength: 5000 },
      { name: "none", byteLength: 0 },
      { name: "high", byteLength: 8192 },
    ];
    const layout = new MemoryLayout({ pageBytes: 4096, regions }, 4097);
    expect([layout.memoryPages, layout.pageCount]).toEqual([4, 6]);
    expect(regions.map((region) => pagesOf(region, 4096))).toEqual([2, 0, 2]);
    expect(memoryBytesOf({ regions })).toBe(13_192);
    const ranges: [number, number, boolean][] = [];
    layout.split(0, 6, (...range) => ranges.push(range));
    expect(ranges).toEqual([
      [0, 2, false],
      [2, 2, false],
      [4, 2, true],
    ]);
    expect(layout.isSameRegion(1, 2)).toBe(false);
    expect(layout.isSameRegion(2, 3)).toBe(true);
  });

  it("cuts every range where a table of all pages says", () => {
    fc.assert(
      fc.property(
        machines,
        fc.nat(20_000),
        fc.nat(),
        fc.nat(),
        ({ pageBytes, regions }, stateMaxBytes, from, length) => {
          const layout = new MemoryLayout({ pageBytes, regions }, stateMaxBytes);
          // Each page's region; the state is one more.
          const table = [...regions, { name: "state", byteLength: stateMaxBytes }].flatMap((region, number) =>
            Array.from({ length: Math.ceil(region.byteLength / pageBytes) }, () => number),
          );
          expect(layout.pageCount).toBe(table.length);
          const first = from % (table.length + 1);
          const count = length % (table.length - first + 1);
          let page = first;
          layout.split(first, count, (firstPage, pageCount, isState) => {
            expect(firstPage).toBe(page);
            expect(pageCount).toBeGreaterThan(0);
            const covered = new Set(table.slice(page, page + pageCount));
            expect(covered.size).toBe(1);
            expect(isState).toBe(covered.has(regions.length));
            page += pageCount;
            if (page < first + count) expect(table[page]).not.toBe(table[page - 1]);
          });
          expect(page).toBe(first + count);
          for (let left = 0; left + 1 < layout.memoryPages; left += 7) {
            expect(layout.isSameRegion(left, left + 1)).toBe(table[left] === table[left + 1]);
          }
        },
      ),
      { numRuns: 300, seed: 7 },
    );
  });
});
