import { expect, it } from "vitest";
import { createKernelsSync } from "../../src/index.js";
import { PageCache } from "../../src/page/cache.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";

const PAGE_BYTES = 1024;

it("a cache has as many slots as fit into its bytes, and never more than there are pages", () => {
  const slotsOf = (pageCount: number, cacheBytes: number): number => {
    const kernels = createKernelsSync();
    const cache = new PageCache(kernels, pageCount, PAGE_BYTES, cacheBytes);
    expect(cache.pages.byteLength).toBe(cache.slots * PAGE_BYTES);
    return cache.slots;
  };
  expect(slotsOf(100, 10 * PAGE_BYTES + PAGE_BYTES - 1)).toBe(10);
  expect(slotsOf(100, 200 * PAGE_BYTES)).toBe(100);
  expect(slotsOf(100, PAGE_BYTES - 1)).toBe(0);
  expect(slotsOf(0, 200 * PAGE_BYTES)).toBe(0);
});

it("the page that came last has the slot, until it is forgotten", () => {
  const kernels = createKernelsSync();
  const cache = new PageCache(kernels, 100, PAGE_BYTES, 10 * PAGE_BYTES);
  const content = new Random(1).bytes(2 * PAGE_BYTES);
  const from = kernels.arena.allocatePages(2, PAGE_BYTES);
  from.bytes.set(content);
  expect([cache.isTaken(3), cache.holds(3), cache.holds(13)]).toEqual([false, false, false]);
  cache.put(3, 1, from, 0);
  expect([cache.isTaken(3), cache.holds(3), cache.holds(13), cache.ownerOf(3)]).toEqual([true, true, false, 3]);
  cache.put(13, 1, from, PAGE_BYTES);
  expect([cache.holds(3), cache.holds(13), cache.ownerOf(cache.slotOf(3))]).toEqual([false, true, 13]);
  expectSameBytes(cache.pages.bytes.subarray(3 * PAGE_BYTES, 4 * PAGE_BYTES), content.subarray(PAGE_BYTES));
  cache.forget(3);
  expect(cache.holds(13)).toBe(true);
  cache.forget(13);
  expect([cache.isTaken(3), cache.holds(13)]).toEqual([false, false]);
  // No number that a dedup table may give is a page's.
  expect(cache.holds(0xffff_ffff)).toBe(false);
});

it("pages that follow each other go into their slots round the end, and slots can be emptied", () => {
  const kernels = createKernelsSync();
  const cache = new PageCache(kernels, 100, PAGE_BYTES, 4 * PAGE_BYTES);
  const from = kernels.arena.allocatePages(8, PAGE_BYTES);
  for (let page = 0; page < 8; page++) from.bytes.fill(10 + page, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
  const contents = (): number[] => [0, 1, 2, 3].map((slot) => cache.pages.bytes[slot * PAGE_BYTES + 1023] as number);

  cache.put(6, 7, from, PAGE_BYTES);
  expect([6, 7, 8, 9, 10, 11, 12].map((page) => cache.holds(page))).toEqual([
    ...[false, false, false],
    ...[true, true, true, true],
  ]);
  expect(contents()).toEqual([17, 14, 15, 16]);

  cache.forget(5);
  expect(cache.holds(9)).toBe(true);
  cache.forget(9);
  cache.empty(Uint32Array.of(3, 0, 2), 2);
  expect([0, 1, 2, 3].map((slot) => cache.isTaken(slot))).toEqual([false, false, true, false]);
  expect(cache.ownerOf(2)).toBe(10);
});
