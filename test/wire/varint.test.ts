import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VARINT_MAX_BYTES, VarintReader, writeVarint } from "../../src/wire/varint.js";
import { fromHex, toHex } from "../support/bytes.js";

const MAX = 2 ** 35 - 1;
const malformed = expect.objectContaining({ name: "WireError", code: "batch-malformed" });

function write(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * VARINT_MAX_BYTES);
  let at = 0;
  for (const value of values) at = writeVarint(bytes, at, value);
  return bytes.subarray(0, at);
}

/** LEB128 as its definition has it. */
function twin(value: number): number[] {
  const bits = value.toString(2);
  const groups = bits.padStart(Math.ceil(bits.length / 7) * 7, "0").match(/.{7}/g) ?? [];
  return groups.reverse().map((group, index) => Number.parseInt(group, 2) + (index < groups.length - 1 ? 128 : 0));
}

const numbers = fc.oneof(
  fc.nat(300),
  fc.integer({ min: 0, max: MAX }),
  fc.tuple(fc.integer({ min: 0, max: 34 }), fc.integer({ min: -1, max: 1 })).map(([bit, near]) => 2 ** bit + near),
);

describe("numbers of an index", () => {
  it.each([
    [0, "00"],
    [1, "01"],
    [127, "7f"],
    [128, "8001"],
    [300, "ac02"],
    [16383, "ff7f"],
    [16384, "808001"],
    [2 ** 32 - 1, "ffffffff0f"],
    [2 ** 32, "8080808010"],
    [MAX, "ffffffff7f"],
  ])("%i is written %s", (value, hex) => {
    expect(toHex(write(value))).toBe(hex);
    expect(new VarintReader(fromHex(hex)).next()).toBe(value);
  });

  it("are written as LEB128 has it, and read back one after the other", () => {
    fc.assert(
      fc.property(fc.array(numbers, { maxLength: 30 }), (values) => {
        const bytes = write(...values);
        expect([...bytes]).toEqual(values.flatMap(twin));
        const reader = new VarintReader(bytes);
        for (const value of values) {
          expect(reader.isAtEnd).toBe(false);
          expect(reader.next()).toBe(value);
        }
        expect(reader.isAtEnd).toBe(true);
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  it("are refused above 2^35 - 1, however many bytes follow", () => {
    for (const hex of ["ffffffffff00", "808080808000", "808080808001", "ffffffffff7f", "ff".repeat(1000)]) {
      expect(() => new VarintReader(fromHex(hex)).next(), hex).toThrow(malformed);
    }
  });

  it("are refused where the bytes end inside one", () => {
    for (const hex of ["", "80", "ff", "80808080", "ffffffff"]) {
      expect(() => new VarintReader(fromHex(hex)).next(), hex).toThrow(malformed);
    }
  });

  it("pass over bytes between them, if they are all there", () => {
    const reader = new VarintReader(Uint8Array.of(5, 1, 2, 3, 4, 5, 6, 7, 8, 6));
    expect(reader.next()).toBe(5);
    expect(reader.skip(8)).toBe(1);
    expect(reader.next()).toBe(6);
    expect(reader.isAtEnd).toBe(true);
    for (let length = 0; length < 8; length++) {
      expect(() => new VarintReader(new Uint8Array(length)).skip(8), `${length}`).toThrow(malformed);
    }
  });
});
