import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DELTA_OVERFLOW, DELTA_UNCHANGED } from "../../src/index.js";
import { builds } from "../support/builds.js";
import { expectSameBytes, fromHex, toHex } from "../support/bytes.js";
import { guarded } from "../support/guarded.js";
import { PAGE_SIZES } from "../support/pages.js";
import { Random } from "../support/random.js";
import { decode as decodeTwin, encode as encodeTwin } from "../twin/xbzrle.js";

/** Pages of 4096 bytes, the old all zero, and what QEMU makes of them. */
const GOLDEN: readonly [string, (page: Uint8Array) => void, string][] = [
  ["byte 0", (page) => page.set([1], 0), "000101"],
  ["byte 4095", (page) => page.set([1], 4095), "ff1f0101"],
  [
    "bytes 0 and 127",
    (page) => {
      page.set([1], 0);
      page.set([2], 127);
    },
    "0001017e0102",
  ],
  ["byte 128", (page) => page.set([0xaa], 128), "800101aa"],
];

describe.each(builds)("delta, $name build", ({ create }) => {
  const { arena, delta } = create();

  function encode(before: Uint8Array, after: Uint8Array): { length: number; payload: Uint8Array } {
    const mark = arena.mark();
    const old = guarded(arena, before.length, 1);
    const now = guarded(arena, after.length, 9);
    const out = guarded(arena, after.length, 5);
    old.span.bytes.set(before);
    now.span.bytes.set(after);
    const length = delta.encode(old.span, now.span, after.length, out.span);
    expect(old.isIntact() && now.isIntact() && out.isIntact()).toBe(true);
    expectSameBytes(old.span.bytes, before);
    expectSameBytes(now.span.bytes, after);
    const payload = out.span.bytes.slice(0, Math.max(0, length));
    arena.release(mark);
    return { length, payload };
  }

  function decode(payload: Uint8Array, page: Uint8Array): Uint8Array {
    const mark = arena.mark();
    const from = guarded(arena, payload.length, 1);
    const to = guarded(arena, page.length, 3);
    from.span.bytes.set(payload);
    to.span.bytes.set(page);
    try {
      delta.decode(from.span, payload.length, to.span, page.length);
    } catch (error) {
      expectSameBytes(to.span.bytes, page);
      throw error;
    } finally {
      expect(from.isIntact() && to.isIntact()).toBe(true);
    }
    const result = to.span.bytes.slice();
    arena.release(mark);
    return result;
  }

  function check(before: Uint8Array, after: Uint8Array): number {
    const { length, payload } = encode(before, after);
    const twin = new Uint8Array(after.length);
    const twinLength = encodeTwin(before, after, twin);
    expect(length).toBe(twinLength);
    expectSameBytes(payload, twin.subarray(0, Math.max(0, twinLength)));
    if (length >= 0) expectSameBytes(decode(payload, before), after);
    return length;
  }

  it.each(GOLDEN)("gives QEMU's bytes where %s changed", (_, change, hex) => {
    const before = new Uint8Array(4096);
    const after = new Uint8Array(4096);
    change(after);
    const { payload } = encode(before, after);
    expect(toHex(payload)).toBe(hex);
    expectSameBytes(decode(payload, before), after);
  });

  it.each([
    ["every 8th byte", 8, 1536],
    ["every 4th byte", 4, 3072],
    ["every 3rd byte", 3, DELTA_OVERFLOW],
    ["every 2nd byte", 2, DELTA_OVERFLOW],
    ["every byte", 1, DELTA_OVERFLOW],
    ["no byte", 4097, DELTA_UNCHANGED],
  ])("where %s changed", (_, every, expected) => {
    const after = new Uint8Array(4096);
    for (let at = every - 1; at < 4096; at += every) after[at] = 1;
    expect(check(new Uint8Array(4096), after)).toBe(expected);
  });

  it("overflows where the first 4092 bytes change, and fits where the last 4092 do", () => {
    expect(check(new Uint8Array(4096), new Uint8Array(4096).fill(1, 0, 4092))).toBe(DELTA_OVERFLOW);
    expect(check(new Uint8Array(4096), new Uint8Array(4096).fill(1, 4))).toBe(4095);
    expect(check(new Uint8Array(4096), new Uint8Array(4096).fill(1, 3))).toBe(4096);
    expect(check(new Uint8Array(4096), new Uint8Array(4096).fill(1, 2))).toBe(DELTA_OVERFLOW);
  });

  it.each(PAGE_SIZES)(
    "gives the twin's bytes for one run, wherever it starts and ends in a page of %i bytes",
    (pageBytes) => {
      const before = new Uint8Array(pageBytes);
      const edges = [0, 1, 2, 15, 16, 17, 31, 63, 64, 65, 126, 127, 128, 129, 1000, 16382, 16383, 16384, 16385];
      const places = [...edges, ...edges.map((edge) => pageBytes - edge)].filter((at) => at >= 0 && at <= pageBytes);
      for (const start of places) {
        for (const end of places) if (start <= end) check(before, new Uint8Array(pageBytes).fill(7, start, end));
      }
    },
  );

  it("gives the twin's bytes for random changes, and decodes them back", () => {
    const arbitrary = fc.tuple(
      fc.constantFrom(...PAGE_SIZES),
      fc.nat(),
      fc.integer({ min: 0, max: 120 }),
      fc.constantFrom(1, 3, 17, 70, 900),
    );
    fc.assert(
      fc.property(arbitrary, ([pageBytes, seed, runs, maxRunBytes]) => {
        const random = new Random(seed);
        const before = random.memoryLike(pageBytes);
        const after = before.slice();
        random.change(after, runs, maxRunBytes);
        check(before, after);
      }),
      { numRuns: 500, seed: 5 },
    );
  });

  it.each([
    ["a lone byte", "00"],
    ["a run without its literals", "00017f01"],
    ["literals that are missing", "0003aabb"],
    ["an empty changed run", "0100"],
    ["an empty unchanged run after the first", "0001aa0001bb"],
    ["an unchanged run past the page", "8020018801"],
    ["a changed run past the page", "ff1f02aabb"],
    ["a length of three bytes on a small page", "80800101aa"],
    ["a trailing unchanged run", "0001aa05"],
  ])("refuses %s", (_, hex) => {
    const page = new Random(1).bytes(4096);
    expect(() => decode(fromHex(hex), page)).toThrow(expect.objectContaining({ code: "xbzrle-malformed" }));
  });

  it("takes QEMU's payloads that its own encoder would not make", () => {
    const page = new Uint8Array(4096);
    // Lengths in two bytes where one would do, and two runs that could be one.
    const payload = Uint8Array.from([0x80, 0x00, 0x81, 0x00, 0xaa, 1, 1, 0]);
    expectSameBytes(decode(payload, page), decodeTwin(payload, page) as Uint8Array);
  });

  describe("lists", () => {
    const PAGE_BYTES = 4096;
    const random = new Random(11);
    const before = random.memoryLike(40 * PAGE_BYTES);
    const after = before.slice();
    random.change(after, 60, 700);
    after.fill(0x11, 3 * PAGE_BYTES, 4 * PAGE_BYTES);
    before.fill(0x22, 3 * PAGE_BYTES, 4 * PAGE_BYTES);

    function lay(): { old: ReturnType<typeof guarded>; now: ReturnType<typeof guarded> } {
      const [old, now] = [guarded(arena, before.length), guarded(arena, after.length)];
      old.span.bytes.set(before);
      now.span.bytes.set(after);
      return { old, now };
    }

    it("encodes and decodes pages in any order, as page by page", () => {
      const mark = arena.mark();
      const { old, now } = lay();
      const order = Array.from({ length: 40 }, (_, index) => (index * 17) % 40);
      const numbers = arena.allocate(40 * 4);
      const lengths = guarded(arena, 40 * 4);
      const out = guarded(arena, 40 * PAGE_BYTES);
      numbers.u32.set(order);
      const bytes = delta.encodeList(
        { pages: old.span, numbers },
        { pages: now.span, numbers },
        40,
        PAGE_BYTES,
        lengths.span,
        out.span,
      );
      let at = 0;
      for (const [index, page] of order.entries()) {
        const slice = (region: Uint8Array): Uint8Array => region.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
        const twin = new Uint8Array(PAGE_BYTES);
        const length = encodeTwin(slice(before), slice(after), twin);
        expect(lengths.span.i32[index]).toBe(length);
        expectSameBytes(out.span.bytes.slice(at, at + Math.max(0, length)), twin.slice(0, Math.max(0, length)));
        at += Math.max(0, length);
      }
      expect(bytes).toBe(at);
      expect(Array.from(lengths.span.i32)).toContain(DELTA_OVERFLOW);

      // What overflowed travels whole; the rest is decoded.
      lengths.span.i32.forEach((length, index) => {
        if (length === DELTA_OVERFLOW) {
          lengths.span.i32[index] = 0;
          const page = order[index] as number;
          old.span.bytes.set(after.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), page * PAGE_BYTES);
        }
      });
      delta.decodeList(out.span, bytes, lengths.span, { pages: old.span, numbers }, 40, PAGE_BYTES);
      expectSameBytes(old.span.bytes, after);
      expect([old, now, lengths, out].every((buffer) => buffer.isIntact())).toBe(true);
      arena.release(mark);
    });

    it("takes the old pages from other places than the new ones", () => {
      const mark = arena.mark();
      const { old, now } = lay();
      const [from, to, lengths] = [arena.allocate(4), arena.allocate(4), arena.allocate(4)];
      const out = arena.allocatePages(1, PAGE_BYTES);
      from.u32[0] = 5;
      to.u32[0] = 9;
      now.span.bytes.copyWithin(9 * PAGE_BYTES, 5 * PAGE_BYTES, 6 * PAGE_BYTES);
      old.span.bytes.set(now.span.bytes.subarray(5 * PAGE_BYTES, 6 * PAGE_BYTES), 5 * PAGE_BYTES);
      now.span.bytes[9 * PAGE_BYTES] = (now.span.bytes[9 * PAGE_BYTES] as number) ^ 0xff;
      expect(
        delta.encodeList(
          { pages: old.span, numbers: from },
          { pages: now.span, numbers: to },
          1,
          PAGE_BYTES,
          lengths,
          out,
        ),
      ).toBe(3);
      arena.release(mark);
    });

    it("refuses page numbers outside, lengths that do not add up and bad payloads, with every page untouched", () => {
      const mark = arena.mark();
      const { old } = lay();
      const numbers = arena.allocate(8);
      const lengths = arena.allocate(8);
      const stream = arena.allocate(6);
      stream.bytes.set([0, 1, 1, 0, 1, 2]);
      const target = { pages: old.span, numbers };
      const code = (name: string): unknown => expect.objectContaining({ code: name });
      const run = (pages: number[], payloads: number[], bytes = 6): void => {
        numbers.u32.set(pages);
        lengths.i32.set(payloads);
        delta.decodeList(stream, bytes, lengths, target, 2, PAGE_BYTES);
      };
      expect(() => run([0, 40], [3, 3])).toThrow(code("page-number"));
      expect(() => run([0, 1], [3, 2])).toThrow(code("xbzrle-malformed"));
      expect(() => run([0, 1], [3, 4])).toThrow(code("xbzrle-malformed"));
      expect(() => run([0, 1], [3, -1])).toThrow(code("xbzrle-malformed"));
      expect(() => run([0, 1], [2, 4])).toThrow(code("xbzrle-malformed"));
      expect(() => run([0, 1], [3, 3], 5)).toThrow(code("xbzrle-malformed"));
      expectSameBytes(old.span.bytes, before);
      run([0, 1], [3, 3]);
      expect(old.span.bytes[PAGE_BYTES]).toBe(2);
      arena.release(mark);
    });
  });
});
