import { describe, expect, it } from "vitest";
import { Arena, bitmapBytes } from "../../src/index.js";

const code = (name: string): unknown => expect.objectContaining({ code: name });

describe("arena", () => {
  it("keeps spans apart, at cache lines, and current while its memory grows", () => {
    const arena = new Arena(new WebAssembly.Memory({ initial: 1 }));
    const small = arena.allocate(10);
    const view = small.bytes;
    view.fill(7);
    const large = arena.allocate(10 << 20);
    expect(view.length).toBe(0);
    expect(Array.from(small.bytes)).toEqual(new Array(10).fill(7));
    expect(small.bytes).toBe(small.bytes);
    expect(small.byteOffset).toBeGreaterThan(0);
    for (const span of [small, large]) expect(span.byteOffset % 64).toBe(0);
    expect(large.byteOffset).toBeGreaterThanOrEqual(small.byteOffset + 10);
  });

  it("sets large spans of one size apart, so that they do not meet in the caches", () => {
    const arena = new Arena(new WebAssembly.Memory({ initial: 1 }));
    const starts = Array.from({ length: 3 }, () => arena.allocate(1 << 20).byteOffset);
    expect(new Set(starts.map((start) => start % (1 << 20))).size).toBe(3);
    expect((starts[1] as number) % 4096).not.toBe((starts[0] as number) % 4096);
  });

  it("takes spans back down to a mark, and they cannot be used then", () => {
    const arena = new Arena(new WebAssembly.Memory({ initial: 1 }));
    const kept = arena.allocate(100);
    const mark = arena.mark();
    const gone = arena.allocate(100);
    arena.release(mark);
    expect(() => gone.bytes).toThrow(code("released-span"));
    expect(() => arena.pointer("gone", gone, 0)).toThrow(code("released-span"));
    expect(arena.pointer("kept", kept, 100)).toBe(kept.byteOffset);
    expect(arena.allocate(100).byteOffset).toBe(gone.byteOffset);
    expect(() => arena.release(5)).toThrow(code("argument"));
  });

  it("checks what it is given", () => {
    const arena = new Arena(new WebAssembly.Memory({ initial: 1 }));
    const other = new Arena(new WebAssembly.Memory({ initial: 1 }));
    const span = arena.allocate(64);
    expect(() => other.pointer("span", span, 1)).toThrow(code("foreign-span"));
    expect(() => arena.pointer("span", span, 65)).toThrow(code("span-too-small"));
    expect(() => arena.pointer("span", span, Number.NaN)).toThrow(code("argument"));
    expect(() => arena.spanOf(new Uint8Array(4))).toThrow(code("foreign-span"));
    expect(() => arena.allocate(-1)).toThrow(code("argument"));
    expect(() => arena.allocate(1.5)).toThrow(code("argument"));
    expect(() => arena.allocatePages(1, 3000)).toThrow(code("argument"));
    expect(() => arena.allocatePages(1, 512)).toThrow(code("argument"));
    expect(() => arena.allocatePages(1, 131072)).toThrow(code("argument"));
    expect(() => arena.allocate(2 ** 32 - 1)).toThrow(code("arena-full"));
    expect(() => arena.output("span", span, 64, span)).toThrow(code("overlap"));
    expect(() => arena.spanOf(span.bytes.subarray(1)).u32).toThrow(code("argument"));
  });

  it("copies between spans, also after its memory has grown, and inside both of them only", () => {
    const arena = new Arena(new WebAssembly.Memory({ initial: 1 }));
    const from = arena.allocate(8);
    const to = arena.allocate(8);
    const bytes = (): number[] => Array.from(to.bytes);
    from.bytes.set([1, 2, 3, 4, 5, 6, 7, 8]);
    to.bytes.fill(0);
    arena.copy(from, 2, to, 5, 3);
    expect(bytes()).toEqual([0, 0, 0, 0, 0, 3, 4, 5]);
    const grown = arena.allocate(10 << 20);
    arena.copy(from, 7, to, 0, 1);
    expect(bytes()).toEqual([8, 0, 0, 0, 0, 3, 4, 5]);
    for (const at of [-1, 0.5, Number.NaN]) {
      expect(() => arena.copy(from, at, to, 0, 1)).toThrow(code("argument"));
      expect(() => arena.copy(from, 0, to, at, 1)).toThrow(code("argument"));
      expect(() => arena.copy(from, 0, to, 0, at)).toThrow(code("argument"));
    }
    expect(() => arena.copy(from, 6, to, 0, 3)).toThrow(code("span-too-small"));
    expect(() => arena.copy(grown, 0, to, 6, 3)).toThrow(code("span-too-small"));
    const other = new Arena(new WebAssembly.Memory({ initial: 1 }));
    expect(() => other.copy(from, 0, to, 0, 1)).toThrow(code("foreign-span"));
    expect(bytes()).toEqual([8, 0, 0, 0, 0, 3, 4, 5]);
  });

  it("stays in its region of a foreign memory and never grows it", () => {
    const memory = new WebAssembly.Memory({ initial: 2 });
    const arena = new Arena(memory, { byteOffset: 1000, byteLength: 5000 });
    const span = arena.allocate(4000);
    expect(span.byteOffset).toBeGreaterThanOrEqual(1000);
    expect(() => arena.allocate(1000)).toThrow(code("arena-full"));
    expect(memory.buffer.byteLength).toBe(2 * 65536);
    expect(() => new Arena(memory, { byteOffset: 0, byteLength: 2 * 65536 + 1 })).toThrow(code("argument"));
    memory.grow(1);
    expect(span.bytes.length).toBe(4000);
  });

  it("rounds bitmaps up to words", () => {
    expect([0, 1, 64, 65].map(bitmapBytes)).toEqual([0, 8, 8, 16]);
  });
});
