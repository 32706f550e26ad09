import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lz4Bound } from "../../src/index.js";
import { builds } from "../support/builds.js";
import { expectSameBytes, fromHex } from "../support/bytes.js";
import { readMachineCode } from "../support/files.js";
import { guarded } from "../support/guarded.js";
import { Lz4Wasm } from "../support/lz4-wasm.js";
import { Random } from "../support/random.js";
import { decompress as decompressTwin } from "../twin/lz4.js";

const machineCode = await readMachineCode();
const lz4Wasm = await Lz4Wasm.load();

describe.each(builds)("lz4, $name build", ({ create }) => {
  const { arena, lz4 } = create();
  const state = guarded(arena, lz4.state().byteLength);

  function compress(input: Uint8Array, misalignment = 1): Uint8Array {
    const mark = arena.mark();
    const from = guarded(arena, input.length, misalignment);
    const to = guarded(arena, lz4Bound(input.length), 3);
    from.span.bytes.set(input);
    const length = lz4.compress(from.span, input.length, to.span, state.span);
    expect(from.isIntact() && to.isIntact() && state.isIntact()).toBe(true);
    const block = to.span.bytes.slice(0, length);
    arena.release(mark);
    return block;
  }

  function decompress(block: Uint8Array, outputBytes: number): Uint8Array {
    const mark = arena.mark();
    const from = guarded(arena, block.length, 1);
    const to = guarded(arena, outputBytes, 5);
    from.span.bytes.set(block);
    try {
      lz4.decompress(from.span, block.length, to.span, outputBytes);
      return to.span.bytes.slice();
    } finally {
      expect(from.isIntact() && to.isIntact()).toBe(true);
      arena.release(mark);
    }
  }

  function check(input: Uint8Array): void {
    const block = compress(input);
    expectSameBytes(decompressTwin(block, input.length) as Uint8Array, input);
    expectSameBytes(decompress(block, input.length), input);
    if (input.length > 0) expectSameBytes(lz4Wasm.decompress(block, input.length), input);
    expectSameBytes(decompress(lz4Wasm.compress(input), input.length), input);
  }

  it("gives back every length round vector, page and block edges, and works both ways with lz4-wasm", () => {
    const random = new Random(1);
    const edges = [4096, 16384, 16385, 65535, 65536, 65537, 65548].flatMap((edge) => [edge - 1, edge, edge + 1]);
    for (const length of [...Array.from({ length: 300 }, (_, length) => length), ...edges]) {
      check(random.memoryLike(length));
      check(new Uint8Array(length).fill(length));
    }
  });

  it("gives back memory-like, random and real bytes", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat(20_000),
        fc.constantFrom("memory", "random", "code", "periodic"),
        (seed, length, kind) => {
          const random = new Random(seed);
          if (kind === "memory") check(random.memoryLike(length));
          else if (kind === "random") check(random.bytes(length));
          else if (kind === "code") check(machineCode.subarray(seed % 900_000, (seed % 900_000) + length));
          else check(Uint8Array.from({ length }, (_, at) => at % (1 + (seed % 40))));
        },
      ),
      { numRuns: 250, seed: 8 },
    );
    check(machineCode);
  });

  it("reaches back 65535 bytes and no further", () => {
    const PIECE_BYTES = 4096;
    for (const distance of [65534, 65535, 65536, 65537]) {
      // The piece comes again after zeros, which cost nothing.
      const input = new Uint8Array(distance + PIECE_BYTES);
      input.set(new Random(2).bytes(PIECE_BYTES));
      input.copyWithin(distance, 0, PIECE_BYTES);
      check(input);
      expect(compress(input).length < 1.5 * PIECE_BYTES).toBe(distance <= 65535);
    }
  });

  it("gives the same block whatever the state held and wherever the input lies", () => {
    const input = machineCode.subarray(0, 65536);
    const block = compress(input);
    state.span.bytes.fill(0xff);
    expectSameBytes(compress(input, 33), block);
  });

  it("keeps to the format's rules for a block's end", () => {
    for (let length = 32; length < 200; length++) {
      // All equal: the longest match that the rules allow, and five literals.
      const block = compress(new Uint8Array(length));
      expect(block.at(-6)).toBe(0x50);
    }
  });

  it("makes nothing longer than the bound", () => {
    for (const length of [0, 1, 254, 255, 256, 4096, 65536]) {
      expect(compress(new Random(length).bytes(length)).length).toBeLessThanOrEqual(lz4Bound(length));
    }
  });

  it.each([
    ["an empty block", "", 0],
    ["a token without its literals", "50aabb", 5],
    ["a length that goes on past the end", "f0ff", 300],
    ["a match offset of 0", "10aa00005000000000", 10],
    ["an offset before the output", "10aa02005000000000", 10],
    ["a match longer than the output", "10aa0100501122334455", 9],
    ["a block that is too short", "10aa", 2],
    ["a block that is too long", "20aabb", 1],
    ["a match without literals behind it", "10aa0100", 5],
    ["half an offset", "10aa01", 5],
    ["bytes behind its end", "10aa00", 1],
  ])("refuses %s", (_, hex, outputBytes) => {
    const block = fromHex(hex);
    expect(decompressTwin(block, outputBytes)).toBeUndefined();
    expect(() => decompress(block, outputBytes)).toThrow(expect.objectContaining({ code: "lz4-malformed" }));
  });

  it("takes a block of no bytes", () => {
    expect(compress(new Uint8Array(0))).toEqual(Uint8Array.of(0));
    expect(decompress(Uint8Array.of(0), 0)).toEqual(new Uint8Array(0));
  });

  it("refuses outputs that are too small or overlap the input", () => {
    const mark = arena.mark();
    const input = arena.allocate(4096);
    const output = arena.allocate(lz4Bound(4096));
    const short = arena.allocate(lz4Bound(4096) - 1);
    expect(() => lz4.compress(input, 4096, short, state.span)).toThrow(
      expect.objectContaining({ code: "span-too-small" }),
    );
    expect(() => lz4.compress(output, 4096, output, state.span)).toThrow(expect.objectContaining({ code: "overlap" }));
    expect(() => lz4.compress(input, 4097, output, state.span)).toThrow(
      expect.objectContaining({ code: "span-too-small" }),
    );
    expect(() => lz4.compress(input, -1, output, state.span)).toThrow(expect.objectContaining({ code: "argument" }));
    expect(() => lz4.decompress(input, 4096, output, 2 ** 31)).toThrow(expect.objectContaining({ code: "argument" }));
    arena.release(mark);
  });
});
