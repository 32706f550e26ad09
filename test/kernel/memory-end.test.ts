import { describe, expect, it } from "vitest";
import { createKernelsSync, lz4Bound, type Span } from "../../src/index.js";
import { builds } from "../support/builds.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";

const MEMORY_BYTES = 4 * 65536;
const PAGE_BYTES = 4096;

/** A read or write past the end of the memory traps, even one that puts back what it read, which guard bytes do not notice. */
describe.each(builds)("at the end of the memory, $name build", ({ module }) => {
  const memory = new WebAssembly.Memory({ initial: MEMORY_BYTES / 65536 });
  const scratch = { byteOffset: 0, byteLength: 2 * 65536 };
  const { arena, scan, delta, lz4 } = createKernelsSync({ source: module, inPlace: { memory, scratch } });
  const last = (byteLength: number): Span =>
    arena.spanOf(new Uint8Array(memory.buffer, MEMORY_BYTES - byteLength, byteLength));
  const place = (bytes: Uint8Array): Span => {
    const span = last(bytes.length);
    span.bytes.set(bytes);
    return span;
  };

  it("encodes and decodes deltas", () => {
    const mark = arena.mark();
    const [page, out] = [arena.allocatePages(1, PAGE_BYTES), arena.allocatePages(1, PAGE_BYTES)];
    // The last bytes of the page change: all of them, or every second one.
    for (let index = 2; index < 80; index++) {
      const before = new Uint8Array(PAGE_BYTES);
      const after = new Uint8Array(PAGE_BYTES);
      for (let at = PAGE_BYTES - (index >> 1); at < PAGE_BYTES; at += 1 + (index % 2)) after[at] = 9;
      page.bytes.set(before);
      const length = delta.encode(page, place(after), PAGE_BYTES, out);
      const payload = out.bytes.slice(0, length);
      delta.decode(out, length, place(before), PAGE_BYTES);
      expectSameBytes(last(PAGE_BYTES).bytes, after);
      delta.decode(place(payload), length, page, PAGE_BYTES);
      expectSameBytes(page.bytes, after);
      page.bytes.set(before);
      expect(delta.encode(last(PAGE_BYTES), page, PAGE_BYTES, out)).toBeGreaterThan(0);
      out.bytes.set(after);
      expect(delta.encode(page, out, PAGE_BYTES, last(PAGE_BYTES))).toBe(length);
    }
    arena.release(mark);
  });

  it("compresses and decompresses LZ4", () => {
    const state = lz4.state();
    const random = new Random(6);
    for (let length = 0; length < 200; length++) {
      const mark = arena.mark();
      const [input, output] = [arena.allocate(length), arena.allocate(lz4Bound(length))];
      input.bytes.set(length % 2 === 0 ? random.memoryLike(length) : random.bytes(length));
      const packed = lz4.compress(place(input.bytes), length, output, state);
      const block = output.bytes.slice(0, packed);
      lz4.decompress(place(block), packed, input, length);
      lz4.decompress(output, packed, last(length), length);
      expectSameBytes(last(length).bytes, input.bytes);
      expect(lz4.compress(input, length, last(lz4Bound(length)), state)).toBe(packed);
      arena.release(mark);
    }
  });

  it("scans pages", () => {
    const mark = arena.mark();
    const pages = place(new Uint8Array(7 * PAGE_BYTES));
    const bitmap = arena.allocateBitmap(7);
    expect(scan.zero(pages, PAGE_BYTES, bitmap)).toBe(7);
    expect(scan.compare(pages, pages, PAGE_BYTES, bitmap)).toBe(0);
    expect(scan.fill(pages, PAGE_BYTES, bitmap, arena.allocate(56))).toBe(7);
    arena.release(mark);
  });
});
