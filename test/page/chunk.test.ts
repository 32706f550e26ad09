import { describe, expect, it } from "vitest";
import { PageChunk } from "../../src/page/chunk.js";
import { PageClass } from "../../src/wire/batch.js";
import { builds } from "../support/builds.js";
import { expectSameBytes } from "../support/bytes.js";

const PAGE_BYTES = 1024;

/** Pages of one byte each: 0 makes a zero page, 1 to 99 a page of that byte, others a page of which one byte differs. */
function pagesOf(...kinds: number[]): Uint8Array {
  const pages = new Uint8Array(kinds.length * PAGE_BYTES);
  kinds.forEach((kind, at) => {
    pages.fill(kind, at * PAGE_BYTES, (at + 1) * PAGE_BYTES);
    if (kind >= 100) pages[at * PAGE_BYTES + 500] = 1;
  });
  return pages;
}

describe.each(builds)("chunk of pages, $name build", ({ create }) => {
  it("copies what it takes, and moves the pages together that are not filled", () => {
    const chunk = new PageChunk(create(), 8, PAGE_BYTES, 0);
    const first = pagesOf(0, 101, 7, 102);
    const second = pagesOf(0, 0, 103);
    expect(chunk.take(40, first, 0)).toBe(4);
    expect(chunk.take(91, second, 1)).toBe(2);
    first.fill(9);
    second.fill(9);
    chunk.findFilled();
    const { zero, fill, novel } = PageClass;
    expect(Array.from(chunk.numbers.subarray(0, chunk.count))).toEqual([40, 41, 42, 43, 91, 92]);
    expect(Array.from(chunk.classes.subarray(0, chunk.count))).toEqual([zero, novel, fill, novel, zero, novel]);
    expect(Array.from(chunk.words.subarray(4, 6))).toEqual([0x0707_0707, 0x0707_0707]);
    expect(Array.from(chunk.unfilledNumbers.subarray(0, chunk.unfilledCount))).toEqual([41, 43, 92]);
    expectSameBytes(chunk.pages.bytes.subarray(0, 3 * PAGE_BYTES), pagesOf(101, 102, 103));
  });

  it("takes no more than it has room for, and begins again when it is cleared", () => {
    const chunk = new PageChunk(create(), 3, PAGE_BYTES, 0);
    const pages = pagesOf(100, 101, 102, 103, 104);
    expect(chunk.take(0, pages, 0)).toBe(3);
    expect(chunk.take(3, pages, 3)).toBe(0);
    chunk.clear();
    expect(chunk.take(3, pages, 3)).toBe(2);
    chunk.findFilled();
    expect(Array.from(chunk.unfilledNumbers.subarray(0, chunk.unfilledCount))).toEqual([3, 4]);
    expectSameBytes(chunk.pages.bytes.subarray(0, 2 * PAGE_BYTES), pagesOf(103, 104));
  });

  it("takes no page whose slot another has, nor one twice", () => {
    const chunk = new PageChunk(create(), 8, PAGE_BYTES, 4);
    const pages = pagesOf(100, 101, 102);
    expect(chunk.take(2, pages, 0)).toBe(3);
    expect(chunk.take(4, pages, 0)).toBe(0);
    expect(chunk.take(5, pages, 0)).toBe(1);
    expect(chunk.take(6, pages, 1)).toBe(0);
    chunk.clear();
    expect(chunk.take(6, pages, 1)).toBe(2);
  });
});
