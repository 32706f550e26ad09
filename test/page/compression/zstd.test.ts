import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { loadZstd, type Zstd } from "../../../src/page/compression/zstd.js";
import { zstdBound } from "../../../src/page/compression/zstd-frame.js";
import { expectSameBytes, fromHex } from "../../support/bytes.js";
import { readMachineCode } from "../../support/files.js";
import { Random } from "../../support/random.js";

const machineCode = await readMachineCode();
const malformed = expect.objectContaining({ name: "PageError", code: "zstd-malformed" });

const hasNative = "zstdCompressSync" in (globalThis.process?.getBuiltinModule?.("node:zlib") ?? {});

/** The implementation of a runtime that has no node:zlib with zstd. */
async function loadWasm(): Promise<Zstd> {
  if (!hasNative) return await loadZstd();
  const getBuiltinModule = process.getBuiltinModule;
  Object.assign(process, { getBuiltinModule: undefined });
  try {
    return await loadZstd();
  } finally {
    Object.assign(process, { getBuiltinModule });
  }
}

const wasm = await loadWasm();
const own = await loadZstd();
const implementations = [{ name: "WebAssembly", zstd: wasm, other: own }];
if (hasNative) implementations.push({ name: "node:zlib", zstd: own, other: wasm });

afterEach(() => {
  vi.doUnmock("@hpcc-js/wasm-zstd");
});

describe.each(implementations)("zstd from $name", ({ zstd, other }) => {
  function check(input: Uint8Array, level: number): void {
    const frame = zstd.compress(input, level);
    expect(frame.byteLength).toBeLessThanOrEqual(zstdBound(input.byteLength));
    expectSameBytes(zstd.decompress(frame, input.byteLength), input);
    expectSameBytes(other.decompress(frame, input.byteLength), input);
  }

  it("gives back every length round header and block edges, to either implementation", () => {
    const random = new Random(3);
    const edges = [255, 256, 65536, 65536 + 256, 2 ** 17, 2 ** 18, 2 ** 19].flatMap((edge) => [
      edge - 1,
      edge,
      edge + 1,
    ]);
    for (const length of [...Array.from({ length: 70 }, (_, length) => length), ...edges]) {
      check(random.memoryLike(length), 1);
      check(random.bytes(length), 1);
      check(new Uint8Array(length).fill(length), 3);
    }
    for (const level of [1, 3, 9, 19]) check(machineCode, level);
  });

  it("gives back memory-like bytes at any level", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(50_000), fc.integer({ min: 1, max: 19 }), (seed, length, level) => {
        check(new Random(seed).memoryLike(length), level);
      }),
      { numRuns: 60, seed: 4 },
    );
  });

  it("gives copies that are the caller's own and exactly as large", () => {
    const input = new Random(5).memoryLike(3000);
    const frame = zstd.compress(input, 1);
    const output = zstd.decompress(frame, input.byteLength);
    for (const own of [frame, output]) {
      expect(Object.getPrototypeOf(own)).toBe(Uint8Array.prototype);
      expect(own.buffer.byteLength).toBe(own.byteLength);
    }
    const before = frame.slice();
    output.fill(0);
    zstd.compress(new Random(6).bytes(3000), 1);
    expectSameBytes(frame, before);
    expectSameBytes(zstd.decompress(frame, input.byteLength), input);
  });

  it("reads the frames of other encoders", () => {
    // Two raw blocks and an RLE block under a window of 1 KiB, with a content size of 8 bytes.
    expectSameBytes(
      zstd.decompress(fromHex("28b52ffd c0 00 0600000000000000 100000 6162 080000 63 1b0000 64"), 6),
      new TextEncoder().encode("abcddd"),
    );
    // `zstd` of the command line, level 3, with its checksum.
    expectSameBytes(
      zstd.decompress(fromHex("28b52ffd 24 05 290000 68656c6c6f a36d9f88"), 5),
      new TextEncoder().encode("hello"),
    );
  });

  it.each([
    ["nothing", "", 0],
    ["half a magic number", "28b52f", 1],
    ["another magic number", "28b52ffe 20 01 090000 61", 1],
    ["a skippable frame", "502a4d18 01000000 61", 1],
    ["a reserved bit", "28b52ffd 28 01 090000 61", 1],
    ["a dictionary", "28b52ffd 21 07 01 090000 61", 1],
    ["a dictionary of 4 bytes", "28b52ffd 23 07000000 01 090000 61", 1],
    ["no content size", "28b52ffd 00 00 090000 61", 1],
    ["another content size", "28b52ffd 20 02 090000 61", 1],
    ["a content size beyond 53 bits", "28b52ffd e0 0100000000000080 090000 61", 1],
    ["half a content size", "28b52ffd a0 0100", 1],
    ["a window of 9 MiB", "28b52ffd 80 69 01000000 090000 61", 1],
    ["a window of 2 TiB", "28b52ffd 80 f8 01000000 090000 61", 1],
    ["no block", "28b52ffd 20 01", 1],
    ["half a block header", "28b52ffd 20 01 0900", 1],
    ["half a block", "28b52ffd 20 02 110000 61", 2],
    ["no last block", "28b52ffd 20 01 080000 61", 1],
    ["a reserved block type", "28b52ffd 20 01 0f0000 61", 1],
    ["a block longer than the content", "28b52ffd 20 01 110000 6162", 1],
    ["a run longer than the content", "28b52ffd 20 01 130000 61", 1],
    ["blocks of fewer bytes than the content", "28b52ffd 20 02 090000 61", 2],
    ["blocks of more bytes than the content", "28b52ffd 20 02 100000 6162 090000 63", 2],
    ["a compressed block that is none", "28b52ffd 20 0a 1d0000 ffffff", 10],
    ["no checksum", "28b52ffd 24 01 090000 61", 1],
    ["a wrong checksum", "28b52ffd 24 05 290000 68656c6c6f a36d9f89", 5],
    ["a byte behind its end", "28b52ffd 20 01 090000 61 00", 1],
    ["two frames", "28b52ffd 20 01 090000 61 28b52ffd 20 01 090000 61", 1],
    ["an empty frame behind its end", "28b52ffd 20 01 090000 61 28b52ffd 20 00 010000", 1],
  ])("refuses %s", (_, hex, outputBytes) => {
    expect(() => zstd.decompress(fromHex(hex), outputBytes)).toThrow(malformed);
  });

  it("says that a frame asks for a dictionary", () => {
    const frame = fromHex("28b52ffd 21 07 01 090000 61");
    expect(() => zstd.decompress(frame, 1)).toThrow("Not a valid zstd frame: it asks for a dictionary.");
  });

  it("refuses more empty blocks than a compressor would make", () => {
    const frame = new Uint8Array(2 ** 20);
    frame.set(fromHex("28b52ffd 20 01"));
    frame.set(fromHex("090000 61"), frame.length - 4);
    expect(() => zstd.decompress(frame, 1)).toThrow(
      expect.objectContaining({ message: expect.stringContaining("this long") }),
    );
  });

  it("refuses truncated and mutated frames, or gives exactly as many bytes", () => {
    const random = new Random(9);
    const frame = zstd.compress(random.memoryLike(20_000), 1);
    for (let length = 0; length < frame.length; length += 1 + (length >> 4)) {
      expect(() => zstd.decompress(frame.subarray(0, length), 20_000)).toThrow(malformed);
    }
    for (let round = 0; round < 5000; round++) {
      try {
        expect(zstd.decompress(random.mutate(frame), 20_000).byteLength).toBe(20_000);
      } catch (error) {
        expect(error).toEqual(malformed);
      }
    }
    expect(zstd.decompress(frame, 20_000).byteLength).toBe(20_000);
  });

  it("refuses sizes and levels outside the bounds", () => {
    const refused = expect.objectContaining({ name: "PageError", code: "argument" });
    for (const bad of [-1, 0.5, NaN, 2 ** 26 + 1])
      expect(() => zstd.decompress(new Uint8Array(9), bad)).toThrow(refused);
    for (const bad of [0, 20, 1.5, NaN]) expect(() => zstd.compress(new Uint8Array(9), bad)).toThrow(refused);
    expect(() => zstd.compress(new Uint8Array(2 ** 26 + 1), 1)).toThrow(refused);
  });
});

describe("loading zstd", () => {
  // A browser has no way to forget a module that it has imported.
  it.skipIf(globalThis.document !== undefined)(
    "takes no WebAssembly where Node has zstd, and WebAssembly where it has not",
    async () => {
      vi.doMock("@hpcc-js/wasm-zstd", () => {
        throw new Error("not there");
      });
      await expect(loadWasm()).rejects.toThrow(expect.objectContaining({ name: "PageError", code: "zstd-missing" }));
      if (hasNative) await expect(loadZstd()).resolves.toBeDefined();
    },
  );

  it("holds its memory over thousands of calls", async () => {
    const { Zstd: Library } = await import("@hpcc-js/wasm-zstd");
    const inside = (await Library.load()) as unknown as { _mainModule: { _module: { HEAPU8: Uint8Array } } };
    const input = new Random(1).memoryLike(65536);
    const bad = wasm.compress(input, 1);
    bad.fill(0xff, 40, 80);
    const round = (index: number): void => {
      const part = input.subarray(0, 30_000 + ((index * 37) % 35_000));
      wasm.decompress(wasm.compress(part, 1 + (index % 3)), part.byteLength);
      expect(() => wasm.decompress(bad, input.byteLength)).toThrow(malformed);
    };
    for (let index = 0; index < 100; index++) round(index);
    const before = inside._mainModule._module.HEAPU8.byteLength;
    for (let index = 0; index < 3000; index++) round(index);
    expect(inside._mainModule._module.HEAPU8.byteLength).toBe(before);
  });
});
