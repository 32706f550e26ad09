import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PageDecoder } from "../../src/page/decoder.js";
import { PageEncoder } from "../../src/page/encoder.js";
import { builds } from "../support/builds.js";
import { Random } from "../support/random.js";

const PAGE_BYTES = 4096;
const PAGE_COUNT = 150;
const SPACE = { pageBytes: PAGE_BYTES, pageCount: PAGE_COUNT };
const MIN_CACHE_BYTES = 256 << 10;
const BATCH_BYTES = 1 << 20;
const malformed = expect.objectContaining({ name: "PageError", code: "batch-malformed" });
const argument = expect.objectContaining({ name: "PageError", code: "argument" });

/** What came out of a decoder, in order: annexes, and pages as `number: hash`. */
type Log = string[];

function entry(page: number, bytes: Uint8Array): string {
  let hash = 0;
  for (const byte of bytes) hash = (Math.imul(hash, 31) + byte) | 0;
  return `${page}: ${hash}`;
}

const writes = fc.array(
  fc.record({
    page: fc.oneof(fc.nat(9), fc.nat(PAGE_COUNT - 1)),
    count: fc.constantFrom(1, 1, 1, 3, 70),
    content: fc.constantFrom("same" as const, "change" as const, "zero" as const, "fill" as const, "copy" as const),
    seed: fc.nat(),
    annex: fc.constantFrom(undefined, undefined, undefined, 0, 1, 5000),
  }),
  { minLength: 1, maxLength: 60 },
);

describe.each(builds)("a receiver that wants every page, $name build", ({ create }) => {
  const encoding = create();
  const decoding = create();

  it("is given them in the order in which they were added, unchanged ones and those that come twice too, behind their annex", () => {
    let unchanged = 0;
    const property = fc.property(
      writes,
      fc.constantFrom(MIN_CACHE_BYTES, PAGE_COUNT * PAGE_BYTES),
      (all, cacheBytes) => {
        const marks = [encoding, decoding].map(({ arena }) => [arena, arena.mark()] as const);
        const log: Log = [];
        const store = {
          readPages: () => expect.fail("the store was read"),
          writePages: (first: number, bytes: Uint8Array) => {
            for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
              log.push(entry(first + at / PAGE_BYTES, bytes.subarray(at, at + PAGE_BYTES)));
            }
          },
        };
        const onAnnex = (annex: Uint8Array): void => {
          log.push(`annex ${entry(annex.length, annex)}`);
        };
        const options = { ...SPACE, compression: "lz4", cacheBytes, batchBytes: BATCH_BYTES, zstdLevel: 1 } as const;
        const encoder = new PageEncoder(encoding, { ...options, listUnchanged: true }, undefined);
        const decoder = new PageDecoder(decoding, store, { ...SPACE, cacheBytes, onAnnex }, undefined);
        const memory = new Random(1).memoryLike(PAGE_COUNT * PAGE_BYTES);
        let expected: Log = [];
        const end = (annex: Uint8Array): void => {
          encoder.flush(annex);
          const batch = encoder.take();
          if (batch === undefined) {
            expect([expected, annex.length]).toEqual([[], 0]);
            return;
          }
          log.length = 0;
          expect(decoder.decode(batch)).toBe(expected.length);
          expect(log).toEqual([`annex ${entry(annex.length, annex)}`, ...expected]);
          expected = [];
        };
        for (const { page, count, content, seed, annex } of all) {
          const random = new Random(seed);
          const last = Math.min(page + count, PAGE_COUNT);
          for (let at = page; at < last; at++) {
            const bytes = memory.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES);
            if (content === "zero") bytes.fill(0);
            else if (content === "fill") bytes.fill(seed & 0xff);
            else if (content === "copy") memory.copyWithin(at * PAGE_BYTES, 0, PAGE_BYTES);
            else if (content === "change") random.change(bytes, 2, 9);
            expected.push(entry(at, bytes));
          }
          encoder.add(page, memory.subarray(page * PAGE_BYTES, last * PAGE_BYTES));
          // The encoder would end the batch itself.
          if (annex !== undefined || expected.length > 150) end(random.bytes(annex ?? 0));
        }
        end(new Uint8Array(0));
        unchanged += encoder.encoded.unchanged;
        for (const [arena, mark] of marks) arena.release(mark);
      },
    );
    fc.assert(property, { numRuns: 60, seed: 11 });
    expect(unchanged).toBeGreaterThan(100);
  });

  it("alone is given an annex", () => {
    const options = { ...SPACE, compression: "none", cacheBytes: 0, batchBytes: 100, zstdLevel: 1 } as const;
    const encoder = new PageEncoder(encoding, options, undefined);
    expect(() => encoder.flush(new Uint8Array(101))).toThrow(argument);
    encoder.flush(new Uint8Array(100));
    const store = { readPages: () => {}, writePages: () => {} };
    const decoder = new PageDecoder(decoding, store, { ...SPACE, cacheBytes: 0 }, undefined);
    const batch = encoder.take() as Uint8Array;
    expect(() => decoder.decode(batch)).toThrow(malformed);
  });
});
