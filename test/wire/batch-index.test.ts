import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BATCH_MAX_INDEX_BYTES, BATCH_MAX_PAGES, type BatchHeader, PageClass } from "../../src/wire/batch.js";
import { BatchIndex, IndexWriter } from "../../src/wire/batch-index.js";
import { writeVarint } from "../../src/wire/varint.js";
import { fromHex, toHex } from "../support/bytes.js";
import { goldenBytes } from "./golden/golden.js";

const PAGE_BYTES = 4096;
/** As many pages as there can be. */
const MACHINE_PAGES = 0xffff_fffe;
const malformed = expect.objectContaining({ name: "WireError", code: "batch-malformed" });

/** A page of a batch, as the writer is told and as the reader tells. */
type Page =
  | { readonly kind: "zero" | "novel" | "same" | "passing"; readonly page: number }
  | { readonly kind: "fill"; readonly page: number; readonly low: number; readonly high: number }
  | { readonly kind: "dup"; readonly page: number; readonly source: number }
  | { readonly kind: "delta"; readonly page: number; readonly payloadBytes: number };

const writer = new IndexWriter();
const index = new BatchIndex();

function write(pages: readonly Page[]): ReturnType<IndexWriter["take"]> {
  for (const page of pages) {
    if (page.kind === "fill") writer.fill(page.page, page.low, page.high);
    else if (page.kind === "dup") writer.dup(page.page, page.source);
    else if (page.kind === "delta") writer.delta(page.page, page.payloadBytes);
    else writer[page.kind](page.page);
  }
  return writer.take();
}

function residualBytesOf(pages: readonly Page[]): number {
  return pages.reduce((sum, page) => {
    if (page.kind === "delta") return sum + page.payloadBytes;
    return sum + (page.kind === "novel" || page.kind === "passing" ? PAGE_BYTES : 0);
  }, 0);
}

function read(bytes: Uint8Array, runCount: number, residualBytes: number, machinePages = MACHINE_PAGES): void {
  const header: BatchHeader = { codec: "none", runCount, residualBytes, indexBytes: bytes.length };
  index.read(bytes, header, machinePages, PAGE_BYTES);
}

/** The runs of the index that was just read, page by page. */
function pagesIn(bytes: Uint8Array): Page[] {
  const pages: Page[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let payload = 0;
  for (let run = 0; run < index.runCount; run++) {
    for (let at = 0; at < (index.pageCounts[run] as number); at++) {
      const page = (index.firstPages[run] as number) + at;
      const word = index.wordOffsets[run] as number;
      switch (index.classes[run]) {
        case PageClass.zero:
          pages.push({ kind: "zero", page });
          break;
        case PageClass.fill:
          pages.push({ kind: "fill", page, low: view.getUint32(word, true), high: view.getUint32(word + 4, true) });
          break;
        case PageClass.dup:
          pages.push({ kind: "dup", page, source: (index.sourcePages[run] as number) + at });
          break;
        case PageClass.delta:
          pages.push({ kind: "delta", page, payloadBytes: index.payloadBytes[payload++] as number });
          break;
        case PageClass.novel:
          pages.push({ kind: "novel", page });
          break;
        case PageClass.same:
          pages.push({ kind: "same", page });
          break;
        case PageClass.passing:
          pages.push({ kind: "passing", page });
      }
    }
  }
  return pages;
}

/** An index by hand: numbers as varints, bytes as they are. */
function bytesOf(...parts: readonly (number | Uint8Array)[]): Uint8Array {
  const bytes = new Uint8Array(200_000);
  let at = 0;
  for (const part of parts) {
    if (typeof part === "number") {
      at = writeVarint(bytes, at, part);
    } else {
      bytes.set(part, at);
      at += part.length;
    }
  }
  return bytes.slice(0, at);
}

function head(pageClass: number, pages: number): number {
  return pages * 8 + pageClass;
}

const WORD = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

describe("an index", () => {
  it.each<[string, string, number, readonly Page[]]>([
    ["zero", "0011", 1, [0, 1].map((page) => ({ kind: "zero", page }))],
    ["fill", "030a0102030405060708", 1, [{ kind: "fill", page: 3, low: 0x04030201, high: 0x08070605 }]],
    ["dup of a later page", "000b06", 1, [{ kind: "dup", page: 0, source: 3 }]],
    ["dup of an earlier page", "060b05", 1, [{ kind: "dup", page: 6, source: 3 }]],
    [
      "dups, two runs since the second would read what the first writes",
      "000b02000b02",
      2,
      [0, 1].map((page) => ({ kind: "dup", page, source: page + 1 })),
    ],
    [
      "delta",
      "02140180 20",
      1,
      [
        { kind: "delta", page: 2, payloadBytes: 1 },
        { kind: "delta", page: 3, payloadBytes: 4096 },
      ],
    ],
    ["passing", "050f", 1, [{ kind: "passing", page: 5 }]],
    ["novel", "9f8d060d", 1, [{ kind: "novel", page: 99_999 }]],
    ["same", "0516", 1, [5, 6].map((page) => ({ kind: "same", page }))],
    [
      "pages that go back",
      "ffffffff070dfeffffff0f0d",
      2,
      [0x7fff_ffff, 0x7fff_fffe].map((page) => ({ kind: "novel", page })),
    ],
    ["a far page", "fdffffff0f09", 1, [{ kind: "zero", page: 0xffff_fffd }]],
  ])("of %s is the golden one, both ways", (_, hex, runCount, pages) => {
    const bytes = fromHex(hex);
    const taken = write(pages);
    expect(toHex(taken.bytes)).toBe(hex.replaceAll(" ", ""));
    expect([taken.runCount, taken.pageCount]).toEqual([runCount, pages.length]);
    read(bytes, runCount, residualBytesOf(pages));
    expect(pagesIn(bytes)).toEqual(pages);
  });

  it("of all classes is the golden one, both ways", async () => {
    const pages: readonly Page[] = [
      { kind: "zero", page: 0 },
      { kind: "zero", page: 1 },
      { kind: "fill", page: 2, low: 0x04030201, high: 0x08070605 },
      { kind: "dup", page: 5, source: 4 },
      { kind: "delta", page: 8, payloadBytes: 4 },
      { kind: "delta", page: 9, payloadBytes: 3 },
      { kind: "novel", page: 12 },
      { kind: "zero", page: 7 },
    ];
    const golden = (await goldenBytes("batch-none.hex")).slice(16 + 1031);
    expect(toHex(write(pages).bytes)).toBe(toHex(golden));
    const header: BatchHeader = { codec: "none", runCount: 6, residualBytes: 1031, indexBytes: golden.length };
    index.read(golden, header, 13, 1024);
    expect(pagesIn(golden)).toEqual(pages);
    expect(index.pageCount).toBe(8);
  });

  const near = fc.nat(40);
  const page = fc.oneof(
    near,
    near,
    near,
    fc.nat(MACHINE_PAGES - 1),
    fc.constantFrom(2 ** 31 - 1, 2 ** 31, 2 ** 32 - 3),
  );
  const pageOf = fc.oneof(
    fc.record({ kind: fc.constantFrom("zero" as const, "novel" as const, "same" as const, "passing" as const), page }),
    fc.record({
      kind: fc.constant("fill" as const),
      page,
      low: fc.constantFrom(0, 1, 0xffff_ffff),
      high: fc.constantFrom(0, 0x8000_0000),
    }),
    fc.record({ kind: fc.constant("dup" as const), page, source: page }).filter(({ page, source }) => page !== source),
    fc.record({ kind: fc.constant("delta" as const), page, payloadBytes: fc.integer({ min: 1, max: PAGE_BYTES }) }),
  );
  /** A page and those that follow on it, so that there are runs. */
  const stretch = fc.tuple(pageOf, fc.integer({ min: 1, max: 9 })).map(([first, count]) =>
    Array.from(
      { length: Math.min(count, MACHINE_PAGES - Math.max(first.page, "source" in first ? first.source : 0)) },
      (_, at): Page => {
        if (first.kind === "dup") return { ...first, page: first.page + at, source: first.source + at };
        return { ...first, page: first.page + at };
      },
    ),
  );

  it("gives back all pages, in their order, whatever they are", () => {
    fc.assert(
      fc.property(fc.array(stretch, { maxLength: 40 }), (stretches) => {
        const pages = stretches.flat();
        const { bytes, runCount, pageCount } = write(pages);
        expect(pageCount).toBe(pages.length);
        read(bytes, runCount, residualBytesOf(pages));
        expect(pagesIn(bytes)).toEqual(pages);
        for (let run = 0; run < runCount; run++) {
          if (index.classes[run] !== PageClass.dup) continue;
          const distance = (index.sourcePages[run] as number) - (index.firstPages[run] as number);
          expect(Math.abs(distance)).toBeGreaterThanOrEqual(index.pageCounts[run] as number);
        }
      }),
      { numRuns: 400, seed: 3 },
    );
  });

  it("has room for the most pages in the most bytes", () => {
    const pages = Array.from({ length: BATCH_MAX_PAGES }, (_, at): Page => {
      return { kind: "fill", page: at % 2 === 0 ? MACHINE_PAGES - 1 - at : at, low: at, high: 0xffff_ffff };
    });
    const { bytes, runCount } = write(pages);
    expect(bytes.length).toBeLessThanOrEqual(BATCH_MAX_INDEX_BYTES);
    expect(runCount).toBe(BATCH_MAX_PAGES);
    read(bytes, runCount, 0);
    expect(pagesIn(bytes)).toEqual(pages);
  });

  it("may be empty, and the writer is empty after take", () => {
    write([{ kind: "novel", page: 3 }]);
    const { bytes, runCount, pageCount } = write([]);
    expect([bytes.length, runCount, pageCount, writer.pageCount]).toEqual([0, 0, 0, 0]);
    read(bytes, 0, 0);
    expect(index.pageCount).toBe(0);
    writer.zero(0);
    expect(writer.pageCount).toBe(1);
    expect(write([{ kind: "zero", page: 1 }]).runCount).toBe(1);
  });
});

describe("a malformed index", () => {
  const MACHINE = 100;
  /** What it is, its bytes, its runs, the bytes of the residual stream. */
  const cases: readonly (readonly [string, Uint8Array, number, number])[] = [
    ["ends before its runs", bytesOf(0, head(1, 1)), 2, 0],
    ["ends inside a run", bytesOf(0), 1, 0],
    ["ends inside a fill word", bytesOf(0, head(2, 1), WORD.subarray(1)), 1, 0],
    ["ends before a dup's distance", bytesOf(0, head(3, 1)), 1, 0],
    ["ends before a delta's length", bytesOf(0, head(4, 2), 5), 1, 5],
    ["goes on behind its runs", bytesOf(0, head(1, 1), 0), 1, 0],
    ["is not empty without runs", bytesOf(0), 0, 0],
    ["has a run of no pages", bytesOf(0, head(1, 0)), 1, 0],
    ["has class 0", bytesOf(0, head(0, 1)), 1, 0],
    ["has class 7", bytesOf(0, head(7, 1)), 1, 0],
    ["begins behind the machine", bytesOf(MACHINE, head(1, 1)), 1, 0],
    ["ends behind the machine", bytesOf(MACHINE - 1, head(1, 2)), 1, 0],
    ["begins before page 0", bytesOf(2 ** 32 - 1, head(1, 1)), 1, 0],
    ["goes back before page 0", bytesOf(5, head(1, 2), 2 ** 32 - 8, head(1, 1)), 2, 0],
    ["has the largest gap", bytesOf(2 ** 35 - 1, head(1, 1)), 1, 0],
    ["has the longest run", bytesOf(0, 2 ** 35 - 7), 1, 0],
    ["has a dup from behind the machine", bytesOf(0, head(3, 2), 2 * (MACHINE - 1)), 1, 0],
    ["has a dup from before page 0", bytesOf(1, head(3, 1), 3), 1, 0],
    ["has a dup from the largest distance", bytesOf(0, head(3, 1), 2 ** 35 - 2), 1, 0],
    ["has a dup of itself", bytesOf(4, head(3, 1), 0), 1, 0],
    ["has dups that read ahead what they write", bytesOf(0, head(3, 3), 4), 1, 0],
    ["has dups that read back what they write", bytesOf(5, head(3, 3), 3), 1, 0],
    ["has an empty delta", bytesOf(0, head(4, 2), 5, 0), 1, 5],
    ["has a delta longer than a page", bytesOf(0, head(4, 1), PAGE_BYTES + 1), 1, PAGE_BYTES + 1],
    ["has more deltas than residual stream", bytesOf(0, head(4, 2), 5, 5), 1, 9],
    ["has more pages than residual stream", bytesOf(0, head(5, 2)), 1, PAGE_BYTES],
    ["has a number too large", bytesOf(new Uint8Array(6).fill(0xff)), 1, 0],
  ];

  it.each(cases)("%s: is refused", (_, bytes, runCount, residualBytes) => {
    expect(() => read(bytes, runCount, residualBytes, MACHINE)).toThrow(malformed);
  });

  it("leaves what stands behind the pages in the residual stream for an annex", () => {
    read(bytesOf(0, head(4, 2), 5, 5, 0, head(5, 1)), 2, 10 + PAGE_BYTES + 7, MACHINE);
    expect(index.pagesBytes).toBe(10 + PAGE_BYTES);
    read(bytesOf(0, head(6, 2)), 1, 7, MACHINE);
    expect(index.pagesBytes).toBe(0);
  });

  it("is told from one at the edge that is well formed", () => {
    const good: readonly (readonly [Uint8Array, number, number])[] = [
      [bytesOf(MACHINE - 1, head(1, 1)), 1, 0],
      [bytesOf(0, head(1, MACHINE)), 1, 0],
      [bytesOf(5, head(1, 2), 2 ** 32 - 7, head(1, 1)), 2, 0],
      [bytesOf(0, head(3, 2), 2 * (MACHINE - 2)), 1, 0],
      [bytesOf(1, head(3, 1), 1), 1, 0],
      [bytesOf(0, head(3, 3), 6), 1, 0],
      [bytesOf(5, head(3, 3), 5), 1, 0],
      [bytesOf(0, head(4, 2), 1, PAGE_BYTES), 1, PAGE_BYTES + 1],
    ];
    for (const [bytes, runCount, residualBytes] of good) read(bytes, runCount, residualBytes, MACHINE);
  });

  it("has more pages than a batch may have, in one run or in many", () => {
    for (const pageClass of [1, 5]) {
      read(bytesOf(0, head(1, BATCH_MAX_PAGES)), 1, 0);
      const bytes = bytesOf(0, head(pageClass, BATCH_MAX_PAGES + 1));
      const residualBytes = pageClass === 5 ? (BATCH_MAX_PAGES + 1) * PAGE_BYTES : 0;
      expect(() => read(bytes, 1, residualBytes)).toThrow(malformed);
    }
    const back = [2 ** 32 - 1, head(1, 1)];
    const again = Array.from({ length: BATCH_MAX_PAGES - 1 }, () => back).flat();
    read(bytesOf(0, head(1, 1), ...again), BATCH_MAX_PAGES, 0);
    const twice = bytesOf(0, head(1, 2), ...again);
    expect(() => read(twice, BATCH_MAX_PAGES, 0)).toThrow(malformed);
    const deltas = [0, head(4, BATCH_MAX_PAGES), ...new Array(BATCH_MAX_PAGES).fill(1), 0, head(4, 1), 1];
    expect(() => read(bytesOf(...deltas), 2, BATCH_MAX_PAGES + 1)).toThrow(malformed);
  });
});
