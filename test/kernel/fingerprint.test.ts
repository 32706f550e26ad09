import fc from "fast-check";
import { createXXHash128 } from "hash-wasm";
import { describe, expect, it } from "vitest";
import { builds } from "../support/builds.js";
import { expectSameBytes } from "../support/bytes.js";
import { guarded } from "../support/guarded.js";
import { bits, PAGE_SIZES } from "../support/pages.js";
import { Random } from "../support/random.js";
import { xxh3Long128 } from "../twin/xxh3.js";

const SEEDS = [0n, 1n, 0x9e3779b97f4a7c15n, 2n ** 64n - 1n];

function hex(fingerprints: BigUint64Array, page: number): string {
  const half = (word: bigint | undefined): string => (word as bigint).toString(16).padStart(16, "0");
  return half(fingerprints[page * 2 + 1]) + half(fingerprints[page * 2]);
}

describe.each(builds)("fingerprint, $name build", ({ create }) => {
  const kernels = create();
  const { arena, fingerprint } = kernels;

  it.each(PAGE_SIZES)("is the reference's XXH3-128 for pages of %i bytes", async (pageBytes) => {
    const random = new Random(pageBytes);
    for (const seed of SEEDS) {
      const mark = arena.mark();
      const pages = guarded(arena, 5 * pageBytes, 3);
      const fingerprints = guarded(arena, 5 * 16);
      const secret = fingerprint.secret(seed);
      pages.span.bytes.set(random.bytes(2 * pageBytes));
      pages.span.bytes.set(random.memoryLike(2 * pageBytes), 2 * pageBytes);
      pages.span.bytes.fill(0, 4 * pageBytes);
      fingerprint.pages(pages.span, pageBytes, secret, fingerprints.span);
      const reference = await createXXHash128(Number(seed & 0xffffffffn), Number(seed >> 32n));
      for (let page = 0; page < 5; page++) {
        const bytes = pages.span.bytes.slice(page * pageBytes, (page + 1) * pageBytes);
        expect(hex(fingerprints.span.u64, page)).toBe(reference.init().update(bytes).digest("hex"));
        const twin = xxh3Long128(bytes, secret.bytes);
        expect(Array.from(fingerprints.span.u64.subarray(page * 2, page * 2 + 2))).toEqual([twin.low, twin.high]);
      }
      expect(pages.isIntact() && fingerprints.isIntact()).toBe(true);
      arena.release(mark);
    }
  });

  it("has the same value for a known page in every release", () => {
    const mark = arena.mark();
    const page = arena.allocatePages(1, 4096);
    const out = arena.allocate(16);
    page.bytes.forEach((_, at) => {
      page.bytes[at] = at * 7;
    });
    fingerprint.pages(page, 4096, fingerprint.secret(42n), out);
    expect(hex(out.u64, 0)).toBe("9934f13edea3f1adc7e448f55101b62c");
    arena.release(mark);
  });

  it("finds exactly the pages whose content changed, and keeps their new fingerprints", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...PAGE_SIZES.slice(0, 4)),
        fc.integer({ min: 0, max: 140 }),
        fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 20 }),
        (pageBytes, pageCount, writes) => {
          const mark = arena.mark();
          const pages = guarded(arena, pageCount * pageBytes, 16);
          const table = guarded(arena, pageCount * 16);
          const bitmap = guarded(arena, Math.ceil(pageCount / 64) * 8);
          const fresh = arena.allocate(pageCount * 16);
          const secret = fingerprint.secret(5n);
          pages.span.bytes.set(new Random(pageCount).memoryLike(pages.span.byteLength));
          fingerprint.pages(pages.span, pageBytes, secret, table.span);
          expect(fingerprint.scan(pages.span, pageBytes, secret, table.span, bitmap.span)).toBe(0);
          const before = pages.span.bytes.slice();
          for (const [at, mask] of pageCount === 0 ? [] : writes) {
            const place = at % before.length;
            pages.span.bytes[place] = (before[place] as number) ^ (mask % 256);
          }
          const changed = Array.from({ length: pageCount }, (_, page) =>
            pages.span.bytes
              .subarray(page * pageBytes, (page + 1) * pageBytes)
              .some((byte, at) => byte !== before[page * pageBytes + at]),
          );
          expect(fingerprint.scan(pages.span, pageBytes, secret, table.span, bitmap.span)).toBe(
            changed.filter(Boolean).length,
          );
          expect(bits(bitmap.span, pageCount)).toEqual(changed);
          fingerprint.pages(pages.span, pageBytes, secret, fresh);
          expectSameBytes(table.span.bytes, fresh.bytes);
          expect(pages.isIntact() && table.isIntact() && bitmap.isIntact()).toBe(true);
          arena.release(mark);
        },
      ),
      { numRuns: 60, seed: 2 },
    );
  });

  it("refuses a seed beyond 64 bits", () => {
    expect(() => fingerprint.secret(-1n)).toThrow(expect.objectContaining({ code: "argument" }));
    expect(() => fingerprint.secret(1n << 64n)).toThrow(expect.objectContaining({ code: "argument" }));
  });
});
