import { describe, expect, it } from "vitest";
import {
  BATCH_HEADER_BYTES,
  BATCH_MAX_INDEX_BYTES,
  BATCH_MAX_PAGES,
  BATCH_MAX_RESIDUAL_BYTES,
  type BatchHeader,
  decodeBatchHeader,
  PageClass,
} from "../../src/wire/batch.js";
import { encodeBatch } from "../support/batch.js";
import { expectSameBytes } from "../support/bytes.js";
import { goldenBytes } from "./golden/golden.js";

const malformed = expect.objectContaining({ name: "WireError", code: "batch-malformed" });
const GOLDEN: Readonly<Record<BatchHeader["codec"], BatchHeader>> = {
  none: { codec: "none", runCount: 6, residualBytes: 1031, indexBytes: 27 },
  lz4: { codec: "lz4", runCount: 6, residualBytes: 1031, indexBytes: 27 },
  zstd: { codec: "zstd", runCount: 6, residualBytes: 1031, indexBytes: 27 },
};

describe("the header of a batch", () => {
  it.each(["none", "lz4", "zstd"] as const)("%s is the golden one, both ways", async (codec) => {
    const golden = await goldenBytes(`batch-${codec}.hex`);
    expect(decodeBatchHeader(golden)).toEqual(GOLDEN[codec]);
    expectSameBytes(encodeBatch(GOLDEN[codec], golden.subarray(BATCH_HEADER_BYTES)), golden);
  });

  it("has the limits and classes that it had", () => {
    expect([BATCH_HEADER_BYTES, BATCH_MAX_PAGES, BATCH_MAX_RESIDUAL_BYTES, BATCH_MAX_INDEX_BYTES]).toEqual([
      16, 16384, 8388608, 294912,
    ]);
    expect(PageClass).toEqual({ zero: 1, fill: 2, dup: 3, delta: 4, novel: 5, same: 6, passing: 7 });
  });

  it("is taken at just its limits, wherever it lies in its buffer, and refused above them", () => {
    const most: BatchHeader = {
      codec: "zstd",
      runCount: BATCH_MAX_PAGES,
      residualBytes: BATCH_MAX_RESIDUAL_BYTES,
      indexBytes: BATCH_MAX_INDEX_BYTES,
    };
    const room = new Uint8Array(64).fill(0xff);
    room.set(encodeBatch(most, new Uint8Array(0)), 7);
    expect(decodeBatchHeader(room.subarray(7, 7 + BATCH_HEADER_BYTES))).toEqual(most);
    for (const name of ["runCount", "residualBytes", "indexBytes"] as const) {
      for (const value of [most[name] + 1, 0x8000_0000, 0xffff_ffff]) {
        const batch = encodeBatch({ ...most, [name]: value }, new Uint8Array(0));
        expect(() => decodeBatchHeader(batch), `${name} ${value}`).toThrow(malformed);
      }
    }
  });

  it("is refused where it is cut off, of an unknown codec, or not 0 where it must be", async () => {
    const golden = await goldenBytes("batch-lz4.hex");
    for (let length = 0; length < BATCH_HEADER_BYTES; length++) {
      expect(() => decodeBatchHeader(golden.subarray(0, length)), `${length}`).toThrow(malformed);
    }
    for (let codec = 0; codec < 256; codec++) {
      const batch = golden.slice();
      batch[0] = codec;
      if (codec >= 1 && codec <= 3) expect(decodeBatchHeader(batch).runCount).toBe(6);
      else expect(() => decodeBatchHeader(batch), `codec ${codec}`).toThrow(malformed);
    }
    for (const at of [1, 2, 3]) {
      const batch = golden.slice();
      batch[at] = 1;
      expect(() => decodeBatchHeader(batch), `byte ${at}`).toThrow(malformed);
    }
  });
});
