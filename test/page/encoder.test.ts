import { describe, expect, it, vi } from "vitest";
import { createPageEncoder } from "../../src/page/create.js";
import { PageDecoder } from "../../src/page/decoder.js";
import { type EncodedPages, PageEncoder, type PageEncoderOptions } from "../../src/page/encoder.js";
import {
  BATCH_HEADER_BYTES,
  BATCH_MAX_PAGES,
  BATCH_MAX_RESIDUAL_BYTES,
  decodeBatchHeader,
} from "../../src/wire/batch.js";
import { builds } from "../support/builds.js";
import { concat, expectSameBytes } from "../support/bytes.js";
import { PAGE_SIZES } from "../support/pages.js";
import { Random } from "../support/random.js";
import { goldenBytes } from "../wire/golden/golden.js";
import { goldenMachine } from "./golden-machine.js";
import { TestStore, WriteOnlyStore } from "./stores.js";

const KIB = 1024;
const argument = expect.objectContaining({ name: "PageError", code: "argument" });
const OPTIONS: PageEncoderOptions = {
  pageBytes: 4096,
  pageCount: 256,
  compression: "lz4",
  cacheBytes: 1024 * KIB,
  batchBytes: 1024 * KIB,
  zstdLevel: 1,
};

/** What was encoded, without the bytes. */
function pagesOf({ residualBytes, encodedBytes, ...pages }: EncodedPages): unknown {
  return pages;
}

describe.each(builds)("what the encoder makes of pages, $name build", ({ create }) => {
  it.each(PAGE_SIZES)("each class where it is due, pages of %i bytes", (pageBytes) => {
    const encoder = new PageEncoder(create(), { ...OPTIONS, pageBytes, cacheBytes: 256 * pageBytes }, undefined);
    const random = new Random(pageBytes);
    const [first, second] = [random.memoryLike(pageBytes), random.memoryLike(pageBytes)];
    const changed = first.slice();
    random.change(changed, 3, 8);
    const counts = { zero: 0, fill: 0, dup: 0, delta: 0, novel: 0, unchanged: 0 };
    const add = (page: number, bytes: Uint8Array, kind: keyof typeof counts, count = 1): void => {
      encoder.add(page, bytes);
      encoder.flush();
      counts[kind] += count;
      expect(pagesOf(encoder.encoded)).toEqual(counts);
    };
    add(0, new Uint8Array(4 * pageBytes), "zero", 4);
    add(1, new Uint8Array(3 * pageBytes).fill(7), "fill", 3);
    add(1, new Uint8Array(pageBytes), "zero");
    add(4, first, "novel");
    add(4, first, "unchanged");
    add(9, first, "dup");
    add(9, first, "unchanged");
    add(2, second, "novel");
    add(9, changed, "delta");
    add(4, second, "dup");
    // The content has gone from page 4, and page 9 has changed: nobody holds it any more.
    add(5, first, "novel");
    add(5, new Uint8Array(pageBytes), "zero");
    // What was in page 5 is no base for a delta now that the page is zero.
    add(5, first, "novel");
    add(20, concat([random.bytes(pageBytes), random.bytes(pageBytes)]), "novel", 2);
    encoder.hold(
      30,
      changed.map((byte) => byte ^ 1),
    );
    add(
      30,
      changed.map((byte) => byte ^ 1),
      "unchanged",
    );
    add(
      31,
      changed.map((byte) => byte ^ 1),
      "dup",
    );
    add(30, first, "dup");
  });

  it("nothing but zero, fill and novel without a cache", () => {
    const encoder = new PageEncoder(create(), { ...OPTIONS, cacheBytes: 0 }, undefined);
    const page = new Random(1).memoryLike(4096);
    for (let times = 0; times < 3; times++) encoder.add(3, page);
    encoder.hold(4, page);
    encoder.add(4, concat([page, new Uint8Array(4096), new Uint8Array(4096).fill(1)]));
    encoder.flush();
    expect(pagesOf(encoder.encoded)).toEqual({ zero: 1, fill: 1, dup: 0, delta: 0, novel: 4, unchanged: 0 });
  });

  it("duplicates within a chunk are all of the first", () => {
    const encoder = new PageEncoder(create(), OPTIONS, undefined);
    const page = new Random(1).bytes(4096);
    encoder.add(7, concat(new Array(40).fill(page)));
    encoder.flush();
    expect(pagesOf(encoder.encoded)).toEqual({ zero: 0, fill: 0, dup: 39, delta: 0, novel: 1, unchanged: 0 });
    expect(encoder.encoded.residualBytes).toBe(4096);
  });

  it("no duplicate of what no page has any more, not even where no fingerprint is ever found", () => {
    const kernels = create();
    vi.spyOn(kernels.fingerprint, "pages").mockImplementation((_pages, _pageBytes, _secret, fingerprints) => {
      fingerprints.bytes.fill(0);
    });
    const encoder = new PageEncoder(kernels, OPTIONS, undefined);
    const page = new Random(1).bytes(4096);
    // The last slot is emptied, and its bytes stay: "not found" is a number that falls to this slot too.
    for (const [number, bytes] of [
      [255, page],
      [255, new Uint8Array(4096)],
      [3, page],
    ] as const) {
      encoder.add(number, bytes);
      encoder.flush();
    }
    expect(pagesOf(encoder.encoded)).toEqual({ zero: 1, fill: 0, dup: 0, delta: 0, novel: 2, unchanged: 0 });
  });

  it("the golden batch, and counts that belong to it", async () => {
    const encoder = new PageEncoder(
      create(),
      { ...OPTIONS, pageBytes: 1024, pageCount: 16, compression: "none" },
      undefined,
    );
    const { held, added } = goldenMachine();
    for (const [page, bytes] of held) encoder.hold(page, bytes);
    for (const [page, bytes] of added) encoder.add(page, bytes);
    expect(encoder.take()).toBeUndefined();
    encoder.flush();
    const golden = await goldenBytes("batch-none.hex");
    expectSameBytes(encoder.take() as Uint8Array, golden);
    expect(encoder.take()).toBeUndefined();
    const pages = { zero: 3, fill: 1, dup: 1, delta: 2, novel: 1, unchanged: 0 };
    expect(encoder.encoded).toEqual({ ...pages, residualBytes: 1031, encodedBytes: golden.length });
  });

  it("blocks that do not shrink travel as they are", () => {
    const encoder = new PageEncoder(create(), OPTIONS, undefined);
    const pages = new Random(1).bytes(8 * 4096);
    encoder.add(0, pages);
    encoder.flush();
    const batch = encoder.take() as Uint8Array;
    expect(decodeBatchHeader(batch).codec).toBe("none");
    expectSameBytes(batch.subarray(BATCH_HEADER_BYTES, BATCH_HEADER_BYTES + pages.length), pages);
  });

  it("batches within the limits, however many pages wait", () => {
    const pageCount = 3 * BATCH_MAX_PAGES + 5;
    const kernels = create();
    const options = { ...OPTIONS, pageBytes: 1024, pageCount, batchBytes: 5000, cacheBytes: 0 };
    const encoder = new PageEncoder(kernels, options, undefined);
    const decoder = new PageDecoder(create(), new WriteOnlyStore(pageCount, 1024), options, undefined);
    encoder.add(0, new Uint8Array(pageCount * 1024));
    encoder.add(100, new Random(2).bytes(2000 * 1024));
    encoder.flush();
    let decoded = 0;
    for (let batch = encoder.take(); batch !== undefined; batch = encoder.take()) {
      expect(decodeBatchHeader(batch).residualBytes).toBeLessThan(5000 + 256 * KIB);
      const pages = decoder.decode(batch);
      expect(pages).toBeLessThanOrEqual(BATCH_MAX_PAGES);
      decoded += pages;
    }
    expect(decoded).toBe(pageCount + 2000);
  });

  it("in memory that depends on the cache, not on the machine", () => {
    const pageBytes = 4096;
    const sizes = [512, 16384].map((pageCount) => {
      const [encoding, decoding] = [create(), create()];
      const options = { ...OPTIONS, pageBytes, pageCount, cacheBytes: 512 * KIB };
      const encoder = new PageEncoder(encoding, options, undefined);
      const store = new WriteOnlyStore(pageCount, pageBytes);
      const decoder = new PageDecoder(decoding, store, options, undefined);
      const lengths = (): number[] => [encoding, decoding].map(({ arena }) => arena.memory.buffer.byteLength);
      const atFirst = lengths();
      const random = new Random(pageCount);
      const pages = random.memoryLike(512 * pageBytes);
      for (let first = 0; first < pageCount; first += 512) {
        random.change(pages, 300, 100);
        encoder.add(first, pages);
        encoder.flush();
        for (let batch = encoder.take(); batch !== undefined; batch = encoder.take()) decoder.decode(batch);
        expectSameBytes(store.bytes.subarray(first * pageBytes, (first + 512) * pageBytes), pages);
      }
      expect(lengths()).toEqual(atFirst);
      return atFirst;
    });
    expect(sizes[1]).toEqual(sizes[0]);
  });

  it("batches that are the caller's own", () => {
    const encoder = new PageEncoder(create(), { ...OPTIONS, compression: "none" }, undefined);
    const random = new Random(4);
    encoder.add(0, random.bytes(4096));
    encoder.flush();
    const first = encoder.take() as Uint8Array;
    const before = first.slice();
    encoder.add(0, random.bytes(4096));
    encoder.flush();
    expectSameBytes(first, before);
    expect(first.buffer.byteLength).toBe(first.length);
  });
});

describe("arguments", () => {
  const create = (options: Partial<PageEncoderOptions>): PageEncoder =>
    new PageEncoder((builds[0] as (typeof builds)[0]).create(), { ...OPTIONS, ...options }, undefined);

  it("of an encoder and a decoder are checked", () => {
    const wrong: readonly Partial<PageEncoderOptions>[] = [
      { pageBytes: 512 },
      { pageBytes: 131072 },
      { pageBytes: 5000 },
      { pageBytes: Number.NaN },
      { pageCount: -1 },
      { pageCount: 1.5 },
      { pageCount: 0xffff_ffff },
      { cacheBytes: 256 * KIB - 1 },
      { cacheBytes: -1 },
      { cacheBytes: Number.NaN },
    ];
    for (const options of wrong) {
      expect(() => create(options), JSON.stringify(options)).toThrow(argument);
      const kernels = (builds[0] as (typeof builds)[0]).create();
      const store = new TestStore(0, 1024);
      expect(() => new PageDecoder(kernels, store, { ...OPTIONS, ...options }, undefined)).toThrow(argument);
    }
    for (const batchBytes of [0, -1, BATCH_MAX_RESIDUAL_BYTES - 256 * KIB + 1, Number.NaN]) {
      expect(() => create({ batchBytes })).toThrow(argument);
    }
    create({ batchBytes: BATCH_MAX_RESIDUAL_BYTES - 256 * KIB });
  });

  it("pages are whole ones, of the machine; others change nothing", () => {
    const encoder = create({});
    for (const call of ["add", "hold"] as const) {
      for (const [first, bytes] of [
        [0, 4095],
        [-1, 4096],
        [0.5, 4096],
        [256, 4096],
        [255, 8192],
        [Number.NaN, 4096],
      ] as const) {
        expect(() => encoder[call](first, new Uint8Array(bytes)), `${call} ${first} ${bytes}`).toThrow(argument);
      }
      encoder[call](256, new Uint8Array(0));
    }
    encoder.flush();
    expect(encoder.take()).toBeUndefined();
    expect(pagesOf(encoder.encoded)).toEqual({ zero: 0, fill: 0, dup: 0, delta: 0, novel: 0, unchanged: 0 });
  });

  it("a machine without pages is one", async () => {
    const encoder = await createPageEncoder({ pageBytes: 4096, pageCount: 0 });
    encoder.add(0, new Uint8Array(0));
    encoder.flush();
    expect(encoder.take()).toBeUndefined();
  });
});
