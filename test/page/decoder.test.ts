import { describe, expect, it } from "vitest";
import { lz4Bound } from "../../src/kernel/lz4.js";
import { loadZstd } from "../../src/page/compression/zstd.js";
import { createPageDecoder, createPageEncoder } from "../../src/page/create.js";
import { PageDecoder } from "../../src/page/decoder.js";
import { BATCH_HEADER_BYTES, type BatchHeader, decodeBatchHeader } from "../../src/wire/batch.js";
import { IndexWriter } from "../../src/wire/batch-index.js";
import { encodeBatch } from "../support/batch.js";
import { builds } from "../support/builds.js";
import { concat, expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";
import { goldenBytes } from "../wire/golden/golden.js";
import { goldenMachine } from "./golden-machine.js";
import { TestStore, WriteOnlyStore } from "./stores.js";

const PAGE_BYTES = 1024;
const PAGE_COUNT = 16;
const SPACE = { pageBytes: PAGE_BYTES, pageCount: PAGE_COUNT };
const CACHE_BYTES = 256 << 10;
const zstd = await loadZstd();
const malformed = expect.objectContaining({ name: "PageError", code: "batch-malformed" });

/** A batch in codec none: residual stream and index as they are. */
function batchOf(
  residual: Uint8Array,
  write: (index: IndexWriter) => void,
  change: Partial<BatchHeader> = {},
): Uint8Array {
  const writer = new IndexWriter();
  write(writer);
  const { bytes, runCount } = writer.take();
  const header: BatchHeader = { codec: "none", runCount, residualBytes: residual.length, indexBytes: bytes.length };
  return encodeBatch({ ...header, ...change }, concat([residual, bytes]));
}

describe.each(builds)("a decoder, $name build", ({ create }) => {
  function decoderOf(cacheBytes = 0): { readonly decoder: PageDecoder; readonly store: TestStore } {
    const store = new (cacheBytes === 0 ? TestStore : WriteOnlyStore)(PAGE_COUNT, PAGE_BYTES);
    return { decoder: new PageDecoder(create(), store, { ...SPACE, cacheBytes }, zstd), store };
  }

  it.each(["none", "lz4", "zstd"])("brings the golden batch, %s, to its pages", async (codec) => {
    const { held, added } = goldenMachine();
    const { decoder, store } = decoderOf();
    const expected = store.bytes.slice();
    for (const [page, bytes] of held) {
      store.bytes.set(bytes, page * PAGE_BYTES);
      expected.set(bytes, page * PAGE_BYTES);
    }
    for (const [page, bytes] of added) expected.set(bytes, page * PAGE_BYTES);
    store.bytes.fill(0xee, 0, 3 * PAGE_BYTES);
    expect(decoder.decode(await goldenBytes(`batch-${codec}.hex`))).toBe(8);
    expectSameBytes(store.bytes, expected);
    // Page 5 is read from page 4, pages 8 and 9 are changed: nothing else is read.
    expect(store.calls).toEqual({ read: 3, written: 8 });
  });

  it("refuses the golden batch cut off anywhere, or with something behind it", async () => {
    for (const codec of ["none", "lz4", "zstd"]) {
      const golden = await goldenBytes(`batch-${codec}.hex`);
      const { decoder, store } = decoderOf();
      for (let length = 0; length < golden.length; length++) {
        expect(() => decoder.decode(golden.subarray(0, length)), `${codec} ${length}`).toThrow(malformed);
      }
      expect(() => decoder.decode(concat([golden, new Uint8Array(1)])), codec).toThrow(malformed);
      expect(store.calls).toEqual({ read: 0, written: 0 });
    }
  });

  it("takes a batch of nothing", () => {
    const { decoder, store } = decoderOf();
    expect(decoder.decode(batchOf(new Uint8Array(0), () => {}))).toBe(0);
    expect(store.calls).toEqual({ read: 0, written: 0 });
  });

  it("changes pages in the index's order: a dup reads what an earlier run wrote", () => {
    const [first, second] = [new Random(1).bytes(PAGE_BYTES), new Random(2).bytes(PAGE_BYTES)];
    for (const cacheBytes of [0, CACHE_BYTES]) {
      const { decoder, store } = decoderOf(cacheBytes);
      const batch = batchOf(concat([first, second]), (index) => {
        index.novel(3);
        index.dup(7, 3);
        index.novel(3);
        index.dup(8, 3);
        index.dup(9, 7);
        index.zero(7);
      });
      expect(decoder.decode(batch)).toBe(6);
      for (const [page, content] of [
        [3, second],
        [7, new Uint8Array(PAGE_BYTES)],
        [8, second],
        [9, first],
      ] as const) {
        expectSameBytes(store.bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), content);
      }
    }
  });

  it("brings runs of each class, longer than the chunks that it works in, to their pages", () => {
    const pageBytes = 65536;
    const count = 11;
    const content = new Random(7).bytes(count * pageBytes);
    const batch = batchOf(
      concat([content, new Uint8Array(count * 3).map((_, at) => [0, 1, at][at % 3] as number)]),
      (index) => {
        for (let at = 0; at < count; at++) index.novel(at);
        for (let at = 0; at < count; at++) index.dup(count + at, at);
        for (let at = 0; at < count; at++) index.delta(at, 3);
        for (let at = 0; at < count; at++) index.fill(2 * count + at, 0x04030201, 0x08070605);
      },
    );
    const changed = content.slice();
    for (let at = 0; at < count; at++) changed[at * pageBytes] = 3 * at + 2;
    const fill = new Uint8Array(count * pageBytes).map((_, at) => (at & 7) + 1);
    for (const cacheBytes of [0, 3 * count * pageBytes]) {
      const store = new (cacheBytes === 0 ? TestStore : WriteOnlyStore)(3 * count, pageBytes);
      const decoder = new PageDecoder(create(), store, { pageBytes, pageCount: 3 * count, cacheBytes }, zstd);
      expect(decoder.decode(batch)).toBe(4 * count);
      expectSameBytes(store.bytes, concat([changed, content, fill]));
    }
  });

  it("with a cache refuses what needs a page that the cache does not hold", () => {
    const page = new Random(1).bytes(PAGE_BYTES);
    const delta = Uint8Array.of(0, 1, 7);
    const needy = [
      batchOf(new Uint8Array(0), (index) => index.dup(5, 4)),
      batchOf(delta, (index) => index.delta(4, delta.length)),
    ];
    for (const batch of needy) {
      const { decoder } = decoderOf(CACHE_BYTES);
      expect(() => decoder.decode(batch)).toThrow(malformed);
      decoder.decode(batchOf(page, (index) => index.novel(4)));
      decoder.decode(batch);
      decoder.decode(batchOf(new Uint8Array(0), (index) => index.zero(4)));
      expect(() => decoder.decode(batch)).toThrow(malformed);
    }
  });

  it("refuses deltas that are none, with their pages as they were", () => {
    for (const payload of [[0], [0, 0], [0, 5, 1], [0xff, 0x07, 2, 1, 1], [0xff, 0xff, 0xff, 1, 1]]) {
      const { decoder, store } = decoderOf();
      store.bytes.fill(9);
      const before = store.bytes.slice();
      const residual = Uint8Array.of(0, 1, 7, ...payload);
      const batch = batchOf(residual, (index) => {
        index.delta(2, 3);
        index.delta(3, payload.length);
      });
      expect(() => decoder.decode(batch), `${payload}`).toThrow(malformed);
      expectSameBytes(store.bytes, before);
    }
  });

  it("refuses pages outside its machine, and a header that does not fit its block, before it writes", () => {
    const page = new Uint8Array(PAGE_BYTES).fill(1);
    const none = new Uint8Array(0);
    const { decoder, store } = decoderOf();
    for (const batch of [
      batchOf(page, (index) => index.novel(PAGE_COUNT)),
      batchOf(none, (index) => index.zero(0xffff_fffd)),
      batchOf(none, (index) => {
        index.zero(PAGE_COUNT - 1);
        index.zero(PAGE_COUNT);
      }),
      batchOf(none, (index) => index.dup(0, PAGE_COUNT)),
      batchOf(none, (index) => index.dup(PAGE_COUNT, 0)),
      batchOf(page.subarray(1), (index) => index.novel(0)),
      batchOf(page, (index) => index.zero(0)),
      batchOf(page, (index) => index.novel(0), { residualBytes: PAGE_BYTES - 1 }),
      batchOf(page, (index) => index.novel(0), { residualBytes: PAGE_BYTES - 1, indexBytes: 3 }),
      batchOf(page, (index) => index.novel(0), { runCount: 2 }),
      batchOf(page, (index) => index.novel(0), { codec: "lz4" }),
      batchOf(page, (index) => index.novel(0), { codec: "zstd" }),
      batchOf(page, (index) => index.novel(0), { codec: "lz4", residualBytes: 8 << 20 }),
      batchOf(page, (index) => index.novel(0), { codec: "zstd", residualBytes: 8 << 20 }),
    ]) {
      expect(() => decoder.decode(batch)).toThrow(malformed);
    }
    expect(store.calls).toEqual({ read: 0, written: 0 });
  });

  it("refuses blocks that are no shorter for their codec, even such as are valid, and such as are longer than any", () => {
    const { arena, lz4 } = create();
    const page = new Random(3).bytes(PAGE_BYTES);
    const plain = batchOf(page, (index) => index.novel(0));
    const block = arena.allocate(plain.length - BATCH_HEADER_BYTES);
    block.bytes.set(plain.subarray(BATCH_HEADER_BYTES));
    const room = arena.allocate(lz4Bound(block.byteLength));
    const inLz4 = room.bytes.subarray(0, lz4.compress(block, block.byteLength, room, lz4.state()));
    const header = decodeBatchHeader(plain);
    const { decoder, store } = decoderOf();
    for (const batch of [
      encodeBatch({ ...header, codec: "lz4" }, inLz4),
      encodeBatch({ ...header, codec: "zstd" }, zstd.compress(block.bytes, 1)),
      ...(["none", "lz4", "zstd"] as const).map((codec) => encodeBatch({ ...header, codec }, new Uint8Array(9 << 20))),
    ]) {
      expect(() => decoder.decode(batch)).toThrow(malformed);
    }
    expect(store.calls).toEqual({ read: 0, written: 0 });
  });

  it("says so where a batch is in zstd and zstd is not loaded", async () => {
    const golden = await goldenBytes("batch-zstd.hex");
    const store = new TestStore(PAGE_COUNT, PAGE_BYTES);
    const decoder = new PageDecoder(create(), store, { ...SPACE, cacheBytes: 0 }, undefined);
    expect(() => decoder.decode(golden)).toThrow(expect.objectContaining({ name: "PageError", code: "zstd-missing" }));
    expect(store.calls).toEqual({ read: 0, written: 0 });
  });

  it("gives a fault of the store to the caller as it is", () => {
    const fault = new Error("The disk is full.");
    const store = new TestStore(PAGE_COUNT, PAGE_BYTES);
    store.writePages = () => {
      throw fault;
    };
    const decoder = new PageDecoder(create(), store, { ...SPACE, cacheBytes: 0 }, undefined);
    expect(() => decoder.decode(batchOf(new Uint8Array(0), (index) => index.zero(0)))).toThrow(fault);
  });

  it("leaves the batch as it was, and takes one from anywhere in a buffer", async () => {
    for (const codec of ["none", "lz4", "zstd"]) {
      const golden = await goldenBytes(`batch-${codec}.hex`);
      const room = new Uint8Array(golden.length + 10).fill(0xee);
      room.set(golden, 5);
      const { decoder } = decoderOf();
      decoder.decode(room.subarray(5, 5 + golden.length));
      expectSameBytes(room.subarray(5, 5 + golden.length), golden);
      expect(room.subarray(0, 5).every((byte) => byte === 0xee)).toBe(true);
      expect(golden.length).toBeGreaterThan(BATCH_HEADER_BYTES);
    }
  });
});

describe("what createPageEncoder and createPageDecoder make", () => {
  it.each(["none", "lz4", "zstd", "auto"] as const)("fits together, %s", async (compression) => {
    const pageCount = 600;
    const store = new TestStore(pageCount, 4096);
    const encoder = await createPageEncoder({ pageBytes: 4096, pageCount, compression });
    const decoder = await createPageDecoder(store, { pageBytes: 4096, pageCount, compression });
    const random = new Random(5);
    const memory = random.memoryLike(pageCount * 4096);
    for (let round = 0; round < 2; round++) {
      encoder.add(0, memory);
      encoder.flush();
      for (let batch = encoder.take(); batch !== undefined; batch = encoder.take()) decoder.decode(batch);
      expectSameBytes(store.bytes, memory);
      random.change(memory, 100, 50);
    }
    expect(encoder.encoded.novel).toBe(pageCount);
    expect(encoder.encoded.delta).toBeGreaterThan(50);
  });
});
