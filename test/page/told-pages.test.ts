import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kernels } from "../../src/index.js";
import { PageDecoder } from "../../src/page/decoder.js";
import { PageEncoder, type PageEncoderOptions } from "../../src/page/encoder.js";
import { BATCH_HEADER_BYTES, decodeBatchHeader, PageClass } from "../../src/wire/batch.js";
import { BatchIndex } from "../../src/wire/batch-index.js";
import { builds } from "../support/builds.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";
import { TestStore } from "./stores.js";

const PAGE_BYTES = 4096;
const PAGE_COUNT = 160;
const SPACE = { pageBytes: PAGE_BYTES, pageCount: PAGE_COUNT };
const MIN_CACHE_BYTES = 256 << 10;
const OPTIONS: PageEncoderOptions = {
  ...SPACE,
  compression: "none",
  cacheBytes: PAGE_COUNT * PAGE_BYTES,
  batchBytes: 100_000,
  zstdLevel: 1,
};

/** A page and how it travels. */
type Told = readonly [page: number, pageClass: number];

const steps = fc.array(
  fc.record({
    change: fc.constantFrom("zero", "fill", "novel", "delta", "copy", "same"),
    first: fc.nat(PAGE_COUNT - 1),
    count: fc.integer({ min: 1, max: 60 }),
    seed: fc.nat(),
    flushes: fc.boolean(),
  }),
  { minLength: 1, maxLength: 20 },
);

/** An encoder that notes what it tells. */
function tellingEncoder(kernels: Kernels, told: Told[], changes: Partial<PageEncoderOptions> = {}): PageEncoder {
  const onPages = (pages: Uint32Array, classes: Uint8Array): void => {
    expect(classes).toHaveLength(pages.length);
    for (const [at, page] of pages.entries()) told.push([page, classes[at] as number]);
  };
  return new PageEncoder(kernels, { ...OPTIONS, ...changes, onPages }, undefined);
}

/** What a batch that is not compressed says of its pages. */
function pagesIn(batch: Uint8Array): Told[] {
  const header = decodeBatchHeader(batch);
  expect(header.codec).toBe("none");
  const index = new BatchIndex();
  index.read(batch.subarray(BATCH_HEADER_BYTES + header.residualBytes), header, PAGE_COUNT, PAGE_BYTES);
  return Array.from({ length: index.runCount }, (_, run) => run).flatMap((run) =>
    Array.from(
      { length: index.pageCounts[run] as number },
      (_, at): Told => [(index.firstPages[run] as number) + at, index.classes[run] as number],
    ),
  );
}

function expectCounts({ encoded }: PageEncoder, told: readonly Told[]): void {
  const count = (...classes: number[]): number => told.filter(([, pageClass]) => classes.includes(pageClass)).length;
  const { zero, fill, dup, delta, novel, unchanged } = encoded;
  expect({ zero, fill, dup, delta, novel, unchanged }).toEqual({
    zero: count(PageClass.zero),
    fill: count(PageClass.fill),
    dup: count(PageClass.dup),
    delta: count(PageClass.delta),
    novel: count(PageClass.novel, PageClass.passing),
    unchanged: count(PageClass.same),
  });
}

describe.each(builds)("pages that an encoder tells of, $name build", ({ create }) => {
  const encoding = create();
  const decoding = create();

  it("are those that were added, in their order, each in the class in which it travels", () => {
    const property = fc.property(
      steps,
      fc.constantFrom(0, MIN_CACHE_BYTES, PAGE_COUNT * PAGE_BYTES),
      fc.boolean(),
      (all, cacheBytes, listUnchanged) => {
        const marks = [encoding, decoding].map(({ arena }) => [arena, arena.mark()] as const);
        const memory = new Uint8Array(PAGE_COUNT * PAGE_BYTES);
        const store = new TestStore(PAGE_COUNT, PAGE_BYTES);
        const decoder = new PageDecoder(decoding, store, { ...SPACE, cacheBytes: 0 }, undefined);
        const [told, added, travelled]: [Told[], number[], Told[]] = [[], [], []];
        const encoder = tellingEncoder(encoding, told, { cacheBytes, listUnchanged });
        for (const { change, first, count, seed, flushes } of all) {
          const pages = memory.subarray(first * PAGE_BYTES, Math.min(first + count, PAGE_COUNT) * PAGE_BYTES);
          const random = new Random(seed);
          if (change === "zero") pages.fill(0);
          else if (change === "fill") pages.fill(1 + (seed % 255));
          else if (change === "novel") pages.set(random.bytes(pages.length));
          else if (change === "delta") random.change(pages, 1 + (seed % 9), 12);
          else if (change === "copy") pages.set(memory.slice(0, pages.length));
          encoder.add(first, pages);
          for (let at = 0; at < pages.length / PAGE_BYTES; at++) added.push(first + at);
          if (flushes) encoder.flush();
        }
        encoder.flush();
        for (let batch = encoder.take(); batch !== undefined; batch = encoder.take()) {
          travelled.push(...pagesIn(batch));
          if (!listUnchanged) decoder.decode(batch);
        }
        expect(told.map(([page]) => page)).toEqual(added);
        expect(listUnchanged ? told : told.filter(([, pageClass]) => pageClass !== PageClass.same)).toEqual(travelled);
        expectCounts(encoder, told);
        if (!listUnchanged) expectSameBytes(store.bytes, memory);
        for (const [arena, mark] of marks) arena.release(mark);
      },
    );
    fc.assert(property, { numRuns: 60, seed: 17 });
  });

  it("pass where they are not remembered", () => {
    const told: Told[] = [];
    const encoder = tellingEncoder(encoding, told, { compression: "auto" });
    encoder.mayPass = true;
    // The link's figure is smoothed: so often, and it is what was seen.
    for (let times = 0; times < 40; times++) encoder.compressionChoice?.observeLink(1e9, true);
    const memory = new Random(3).bytes(PAGE_COUNT * PAGE_BYTES);
    memory.fill(0, 0, PAGE_BYTES);
    encoder.add(0, memory);
    encoder.flush();
    expect(told).toEqual(
      Array.from({ length: PAGE_COUNT }, (_, page) => [page, page === 0 ? PageClass.zero : PageClass.passing]),
    );
    expectCounts(encoder, told);
  });

  it("are not told of once more where the encoder holds them", () => {
    const told: Told[] = [];
    const encoder = tellingEncoder(encoding, told);
    const page = new Random(1).bytes(PAGE_BYTES);
    encoder.hold(3, page);
    encoder.flush();
    expect(told).toEqual([]);
    encoder.add(3, page);
    encoder.flush();
    expect(told).toEqual([[3, PageClass.same]]);
  });
});
