import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { FuseRead } from "../../../src/guest/fuse/session.js";
import { LazyPages, type PageRange } from "../../../src/guest/lazy/pages.js";
import { concat } from "../../support/bytes.js";

const PAGE_BYTES = 4096;
const PAGES = 40;
/** The last page is a part of one. */
const BYTES = PAGES * PAGE_BYTES - 1000;

/** What a page holds once it has been written: its number, from 1. */
const content = (page: number): Buffer => Buffer.alloc(PAGE_BYTES, page + 1);

interface Asked {
  readonly firstPage: number;
  readonly byteLength: number;
  answer: Uint8Array | number | undefined;
}

describe("pages of which only some have arrived", () => {
  let folder: string;
  let file: number;
  let pages: LazyPages;
  let faults: PageRange[];
  let waits: number[];
  const written = new Set<number>();

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "pageferry-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  beforeEach(() => {
    begin();
    return () => closeSync(file);
  });

  function begin(): void {
    file = openSync(join(folder, "memory"), "w+");
    writeSync(file, Buffer.of(0), 0, 1, BYTES - 1);
    [faults, waits] = [[], []];
    written.clear();
    pages = new LazyPages({
      file,
      byteLength: BYTES,
      pageBytes: PAGE_BYTES,
      maxReadBytes: PAGES * PAGE_BYTES,
      kernelPageBytes: PAGE_BYTES,
      onFault: (range) => faults.push(range),
      onWaited: (ms) => waits.push(ms),
    });
  }

  function arrive(firstPage: number, pageCount: number): void {
    for (let page = firstPage; page < Math.min(firstPage + pageCount, PAGES); page++) {
      const bytes = content(page).subarray(0, Math.min(PAGE_BYTES, BYTES - page * PAGE_BYTES));
      writeSync(file, bytes, 0, bytes.length, page * PAGE_BYTES);
      written.add(page);
    }
    pages.arrived({ firstPage, pageCount });
  }

  /** A read of whole pages, and how it is answered: bytes, or an error number. */
  function read(firstPage: number, pageCount: number): Asked {
    const offset = firstPage * PAGE_BYTES;
    const byteLength = Math.min(pageCount * PAGE_BYTES, BYTES - offset);
    const asked: Asked = { firstPage, byteLength, answer: undefined };
    const settle = (answer: Uint8Array | number): void => {
      expect(asked.answer, "answered once").toBeUndefined();
      asked.answer = answer;
    };
    const fuse: FuseRead = {
      offset,
      byteLength,
      answer: (...pieces) => settle(concat(pieces)),
      fail: settle,
    };
    pages.take(fuse);
    return asked;
  }

  function expectRight({ firstPage, byteLength, answer }: Asked): void {
    const wanted = Buffer.concat(Array.from({ length: PAGES }, (_, page) => content(firstPage + page)));
    expect(Buffer.compare(answer as Uint8Array, wanted.subarray(0, byteLength))).toBe(0);
  }

  it("are answered for when they are there, and told once while they are not", () => {
    const [one, again, other] = [read(3, 1), read(3, 1), read(PAGES - 1, 1)];
    expect(faults).toEqual([
      { firstPage: 3, pageCount: 1 },
      { firstPage: PAGES - 1, pageCount: 1 },
    ]);
    arrive(4, 2);
    expect(one.answer).toBeUndefined();
    arrive(3, 1);
    arrive(PAGES - 1, 5);
    for (const asked of [one, again, other]) expectRight(asked);
    expect(waits.length).toBe(3);
    const late = read(4, 2);
    expectRight(late);
    expect(waits.length).toBe(3);
  });

  it("are not waited for where the kernel only reads ahead, but where it comes back", () => {
    arrive(10, 3);
    expect(read(8, 8).answer).toBe(5);
    expect(faults).toEqual([]);
    expectRight(read(10, 3));
    const touched = read(9, 1);
    expect(faults).toEqual([{ firstPage: 9, pageCount: 1 }]);
    // As one piece, where the kernel holds several pages together.
    const together = read(12, 4);
    expect(faults.slice(1)).toEqual([{ firstPage: 13, pageCount: 3 }]);
    arrive(9, 1);
    expectRight(touched);
    expect(together.answer).toBeUndefined();
    arrive(13, 3);
    expectRight(together);
  });

  it("are given to the kernel once, and not while somebody waits for them", () => {
    read(20, 1);
    arrive(5, 10);
    expectRight(read(7, 1));
    expect(pages.takeUngiven(4)).toEqual({ firstPage: 5, pageCount: 2 });
    expect(pages.takeUngiven(4)).toEqual({ firstPage: 8, pageCount: 4 });
    expect(pages.takeUngiven(4)).toEqual({ firstPage: 12, pageCount: 3 });
    expect(pages.takeUngiven(4)).toBeUndefined();
    arrive(20, 1);
    expect(pages.takeUngiven(4)).toBeUndefined();
    expect(pages.hasUngiven).toBe(false);
    const bytes = pages.read({ firstPage: PAGES - 1, pageCount: 1 }, new Uint8Array(PAGE_BYTES));
    expect(bytes.length).toBe(BYTES % PAGE_BYTES);
  });

  it("whose file was cut short are an I/O error", () => {
    const waiting = read(2, 1);
    closeSync(file);
    pages.arrived({ firstPage: 2, pageCount: 1 });
    expect(waiting.answer).toBe(5);
    file = openSync(join(folder, "memory"), "r");
  });

  it("are right in whatever order things happen, and nobody waits in vain", () => {
    const page = fc.nat(PAGES - 1);
    const step = fc.oneof(
      fc.record({ kind: fc.constant("read" as const), page, count: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ kind: fc.constant("arrive" as const), page, count: fc.integer({ min: 1, max: 12 }) }),
      fc.record({ kind: fc.constant("give" as const), page, count: fc.integer({ min: 1, max: 8 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        closeSync(file);
        begin();
        const reads: Asked[] = [];
        for (const { kind, page: firstPage, count } of steps) {
          if (kind === "read") reads.push(read(firstPage, Math.min(count, PAGES - firstPage)));
          else if (kind === "arrive") arrive(firstPage, count);
          else {
            const given = pages.takeUngiven(count);
            for (let at = 0; at < (given?.pageCount ?? 0); at++)
              expect(written).toContain((given as PageRange).firstPage + at);
          }
          // What is missing of a read that waits has been told.
          const told = new Set(
            faults.flatMap((range) => Array.from({ length: range.pageCount }, (_, at) => range.firstPage + at)),
          );
          for (const asked of reads) {
            const span = Array.from(
              { length: Math.ceil(asked.byteLength / PAGE_BYTES) },
              (_, at) => asked.firstPage + at,
            );
            const missing = span.filter((one) => !written.has(one));
            if (asked.answer === undefined) {
              expect(missing.length).toBeGreaterThan(0);
              for (const one of missing) expect(told).toContain(one);
            } else if (typeof asked.answer !== "number") expectRight(asked);
            else expect(span.length).toBeGreaterThan(1);
          }
        }
        arrive(0, PAGES);
        for (const asked of reads) expect(asked.answer).toBeDefined();
        expect(faults.reduce((sum, { pageCount }) => sum + pageCount, 0)).toBeLessThanOrEqual(PAGES);
      }),
      { numRuns: 200 },
    );
  });
});
