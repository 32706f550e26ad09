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
  const cache = new PageCache(createKernelsSync(), 100, PAGE_BYTES, 10 * PAGE_BYTES);
  const content = new Random(1).bytes(2 * PAGE_BYTES);
  expect([cache.isTaken(3), cache.holds(3), cache.holds(13)]).toEqual([false, false, false]);
  cache.put(3, content, 0);
  expect([cache.isTaken(3), cache.holds(3), cache.holds(13), cache.ownerOf(3)]).toEqual([true, true, false, 3]);
  cache.put(13, content, PAGE_BYTES);
  expect([cache.holds(3), cache.holds(13), cache.ownerOf(cache.slotOf(3))]).toEqual([false, true, 13]);
  expectSameBytes(cache.pages.bytes.subarray(3 * PAGE_BYTES, 4 * PAGE_BYTES), content.subarray(PAGE_BYTES));
  cache.forget(3);
  expect(cache.holds(13)).toBe(true);
  cache.forget(13);
  expect([cache.isTaken(3), cache.holds(13)]).toEqual([false, false]);
  // No number that a dedup table may give is a page's.
  expect(cache.holds(0xffff_ffff)).toBe(false);
});
