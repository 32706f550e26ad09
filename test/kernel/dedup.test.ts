import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEDUP_NONE, type DedupTable } from "../../src/index.js";
import { builds } from "../support/builds.js";
import { guarded } from "../support/guarded.js";
import { bits, PAGE_SIZES } from "../support/pages.js";
import { Random } from "../support/random.js";

/** A content: its fingerprint's halves. Few low bits differ, so that entries crowd round a few slots. */
function fingerprintOf(content: number): [bigint, bigint] {
  return [BigInt(content % 5) | (BigInt(content) << 40n), BigInt(content + 1)];
}

describe.each(builds)("dedup, $name build", ({ create }) => {
  const { arena, dedup } = create();
  const fingerprints = arena.allocate(4096 * 16);
  const olds = arena.allocate(4096 * 16);
  const numbers = arena.allocate(4096 * 4);

  function lay(contents: readonly number[], pages: readonly number[] = [], span = fingerprints): number {
    span.u64.set(contents.flatMap(fingerprintOf));
    numbers.u32.set(pages);
    return contents.length;
  }

  function find(table: DedupTable, contents: readonly number[]): (number | undefined)[] {
    const count = lay(contents);
    const found = table.find(fingerprints, numbers, count);
    const answers = Array.from(numbers.u32.subarray(0, count), (page) => (page === DEDUP_NONE ? undefined : page));
    expect(found).toBe(answers.filter((page) => page !== undefined).length);
    return answers;
  }

  const CONTENTS = 40;
  const operations = fc.array(
    fc.record({
      kind: fc.constantFrom("insert", "remove", "replace"),
      rows: fc.array(fc.tuple(fc.nat(CONTENTS - 1), fc.nat(CONTENTS - 1), fc.nat(20)), { maxLength: 12 }),
    }),
    { maxLength: 30 },
  );

  it("does what a Map does that never takes more than its capacity", () => {
    fc.assert(
      fc.property(operations, fc.constantFrom(3, 6, 12, 24), (steps, capacity) => {
        const mark = arena.mark();
        const table = dedup.table(capacity);
        const map = new Map<number, number>();
        const insert = (content: number, page: number): number => {
          if (!map.has(content) && map.size < table.capacity) map.set(content, page);
          return map.has(content) ? 1 : 0;
        };
        const remove = (content: number, page: number): number => {
          if (map.get(content) !== page) return 0;
          map.delete(content);
          return 1;
        };
        for (const { kind, rows } of steps) {
          const count = lay(
            rows.map(([content]) => content),
            rows.map(([, , page]) => page),
          );
          let expected = 0;
          if (kind === "insert") {
            for (const [content, , page] of rows) expected += insert(content, page);
            expect(table.insert(fingerprints, numbers, count)).toBe(expected);
          } else if (kind === "remove") {
            for (const [content, , page] of rows) expected += remove(content, page);
            expect(table.remove(fingerprints, numbers, count)).toBe(expected);
          } else {
            lay(
              rows.map(([, after]) => after),
              rows.map(([, , page]) => page),
              olds,
            );
            for (const [before, after, page] of rows) {
              remove(before, page);
              expected += insert(after, page);
            }
            expect(table.replace(fingerprints, olds, numbers, count)).toBe(expected);
          }
          expect(table.size).toBe(map.size);
          const all = Array.from({ length: CONTENTS }, (_, content) => content);
          expect(find(table, all)).toEqual(all.map((content) => map.get(content)));
        }
        arena.release(mark);
      }),
      { numRuns: 200, seed: 6 },
    );
  });

  it("stays within its memory and goes on answering when it is full", () => {
    const mark = arena.mark();
    const table = dedup.table(1000);
    const contents = Array.from({ length: 2000 }, (_, content) => content);
    expect(table.capacity).toBeGreaterThanOrEqual(1000);
    expect(table.insert(fingerprints, numbers, lay(contents, contents))).toBe(table.capacity);
    expect(table.size).toBe(table.capacity);
    expect(find(table, contents)).toEqual(contents.map((content) => (content < table.capacity ? content : undefined)));
    // Over many changes at full load nothing is lost, and nothing wears out.
    const random = new Random(3);
    const held = new Map(contents.slice(0, table.capacity).map((content) => [content, content]));
    for (let round = 0; round < 2000; round++) {
      const before = [...held.keys()][random.below(held.size)] as number;
      const after = 10_000 + round;
      lay([after], [before], olds);
      lay([before], [held.get(before) as number]);
      expect(table.replace(fingerprints, olds, numbers, 1)).toBe(1);
      held.set(after, held.get(before) as number);
      held.delete(before);
    }
    expect(table.size).toBe(table.capacity);
    expect(find(table, [...held.keys()])).toEqual([...held.values()]);
    table.clear();
    expect(table.size).toBe(0);
    expect(find(table, [0, 1])).toEqual([undefined, undefined]);
    arena.release(mark);
  });

  it("never holds the all-zero fingerprint", () => {
    const mark = arena.mark();
    const table = dedup.table(10);
    fingerprints.bytes.fill(0, 0, 16);
    numbers.u32[0] = 1;
    expect(table.insert(fingerprints, numbers, 1)).toBe(0);
    expect(table.remove(fingerprints, numbers, 1)).toBe(0);
    expect(table.find(fingerprints, numbers, 1)).toBe(0);
    expect(numbers.u32[0]).toBe(DEDUP_NONE);
    arena.release(mark);
  });

  it.each(PAGE_SIZES)("compares candidates of %i bytes byte by byte", (pageBytes) => {
    const mark = arena.mark();
    const count = 130;
    const pages = 6;
    const random = new Random(pageBytes);
    const left = arena.allocatePages(pages, pageBytes);
    const right = arena.allocatePages(pages, pageBytes);
    left.bytes.set(random.memoryLike(left.byteLength));
    right.bytes.set(left.bytes);
    right.bytes[2 * pageBytes - 1] = (right.bytes[2 * pageBytes - 1] as number) ^ 1;
    const [lefts, rights] = [arena.allocate(count * 4), arena.allocate(count * 4)];
    for (let index = 0; index < count; index++) {
      lefts.u32[index] = random.below(pages);
      rights.u32[index] = random.below(8) === 0 ? DEDUP_NONE : (lefts.u32[index] as number);
    }
    const bitmap = guarded(arena, 24);
    const expected = Array.from({ length: count }, (_, index) => {
      const page = rights.u32[index] as number;
      return page !== DEDUP_NONE && page !== 1;
    });
    const compare = (): number =>
      dedup.compare({ pages: left, numbers: lefts }, { pages: right, numbers: rights }, count, pageBytes, bitmap.span);
    expect(compare()).toBe(expected.filter(Boolean).length);
    expect(bits(bitmap.span, count)).toEqual(expected);
    expect(bitmap.isIntact()).toBe(true);
    rights.u32[5] = pages;
    expect(compare).toThrow(expect.objectContaining({ code: "page-number" }));
    rights.u32[5] = 0;
    lefts.u32[129] = DEDUP_NONE;
    expect(compare).toThrow(expect.objectContaining({ code: "page-number" }));
    arena.release(mark);
  });
});
