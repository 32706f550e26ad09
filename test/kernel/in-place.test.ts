import { describe, expect, it } from "vitest";
import { createKernelsSync, lz4Bound } from "../../src/index.js";
import { builds } from "../support/builds.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";

const PAGE_BYTES = 4096;
const PAGES = 100;
const RAM = { byteOffset: 128 * 1024 + 4, byteLength: PAGES * PAGE_BYTES };
const COPY = { byteOffset: RAM.byteOffset + RAM.byteLength + 100, byteLength: PAGES * PAGE_BYTES };
const SCRATCH = { byteOffset: 20 * 65536, byteLength: 512 * 1024 };

describe.each(builds)("in place, $name build", ({ module }) => {
  it("writes nowhere but in the scratch region and the outputs it was given", () => {
    // Somebody else's memory, every byte of it taken.
    const memory = new WebAssembly.Memory({ initial: 40, maximum: 60 });
    new Uint8Array(memory.buffer).set(new Random(9).memoryLike(memory.buffer.byteLength));
    const view = (region: { byteOffset: number; byteLength: number }): Uint8Array =>
      new Uint8Array(memory.buffer, region.byteOffset, region.byteLength);
    view(COPY).set(view(RAM));
    new Random(10).change(view(RAM), 50, 300);
    const before = new Uint8Array(memory.buffer).slice();

    const { arena, scan, fingerprint, bitmap, delta, dedup, lz4 } = createKernelsSync({
      source: module,
      inPlace: { memory, scratch: SCRATCH },
    });
    let [ram, copy] = [arena.spanOf(view(RAM)), arena.spanOf(view(COPY))];
    const dirty = arena.allocateBitmap(PAGES);
    const other = arena.allocateBitmap(PAGES);
    const words = arena.allocate(PAGES * 8);
    const fingerprints = arena.allocate(PAGES * 16);
    const secret = fingerprint.secret(1n);
    const numbers = arena.allocate(PAGES * 4);
    const found = arena.allocate(PAGES * 4);
    const lengths = arena.allocate(PAGES * 4);
    const stream = arena.allocate(40 * PAGE_BYTES);
    const block = arena.allocate(lz4Bound(10 * PAGE_BYTES));
    const unpacked = arena.allocate(10 * PAGE_BYTES);
    const state = lz4.state();
    const table = dedup.table(PAGES);

    scan.zero(ram, PAGE_BYTES, other);
    scan.fill(ram, PAGE_BYTES, other, words);
    expect(scan.compare(ram, copy, PAGE_BYTES, dirty)).toBeGreaterThan(20);
    fingerprint.pages(copy, PAGE_BYTES, secret, fingerprints);
    fingerprint.scan(ram, PAGE_BYTES, secret, fingerprints, other);
    expect(other.bytes).toEqual(dirty.bytes);
    bitmap.and(dirty, other, other, PAGES);
    const count = Math.min(40, bitmap.expand(dirty, PAGES, numbers));
    table.insert(fingerprints, numbers, count);
    table.find(fingerprints, found, count);
    dedup.compare({ pages: ram, numbers }, { pages: copy, numbers }, count, PAGE_BYTES, other);
    const bytes = delta.encodeList(
      { pages: copy, numbers },
      { pages: ram, numbers },
      count,
      PAGE_BYTES,
      lengths,
      stream,
    );
    expect(bytes).toBeGreaterThan(0);
    const packed = lz4.compress(ram, 10 * PAGE_BYTES, block, state);
    lz4.decompress(block, packed, unpacked, 10 * PAGE_BYTES);
    expectSameBytes(unpacked.bytes, view(RAM).subarray(0, 10 * PAGE_BYTES));

    const expectOutsideAsBefore = (): void => {
      const after = new Uint8Array(memory.buffer, 0, before.length);
      expectSameBytes(after.subarray(0, SCRATCH.byteOffset), before.subarray(0, SCRATCH.byteOffset));
      const scratchEnd = SCRATCH.byteOffset + SCRATCH.byteLength;
      expectSameBytes(after.subarray(scratchEnd), before.subarray(scratchEnd));
    };
    expectOutsideAsBefore();

    // The owner grows the memory; then a page of it is the output: nothing else of it changes.
    memory.grow(3);
    [ram, copy] = [arena.spanOf(view(RAM)), arena.spanOf(view(COPY))];
    const decodable = lengths.i32.subarray(0, count).every((length) => length >= 0);
    expect(decodable).toBe(true);
    delta.decodeList(stream, bytes, lengths, { pages: copy, numbers }, count, PAGE_BYTES);
    for (let index = 0; index < count; index++) {
      const page = numbers.u32[index] as number;
      const start = COPY.byteOffset + page * PAGE_BYTES;
      before.set(view(RAM).subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), start);
    }
    expectOutsideAsBefore();
  });
});
