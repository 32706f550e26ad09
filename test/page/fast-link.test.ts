import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PageDecoder } from "../../src/page/decoder.js";
import { PageEncoder } from "../../src/page/encoder.js";
import { builds } from "../support/builds.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";

const PAGE_BYTES = 4096;
const PAGE_COUNT = 200;
const SPACE = { pageBytes: PAGE_BYTES, pageCount: PAGE_COUNT };
const MIN_CACHE_BYTES = 256 << 10;
const FAST = 250e6;
const SLOW = 150e6;

function encoderOf(kernels: ReturnType<(typeof builds)[number]["create"]>, cacheBytes: number): PageEncoder {
  const options = { ...SPACE, compression: "auto", cacheBytes, batchBytes: 1 << 20, zstdLevel: 1 } as const;
  const encoder = new PageEncoder(kernels, options, undefined);
  encoder.mayPass = true;
  return encoder;
}

/** The link's figure is smoothed: so often, and it is what was seen. */
function observe(encoder: PageEncoder, bytesPerSecond: number): void {
  for (let times = 0; times < 40; times++) encoder.compressionChoice?.observeLink(bytesPerSecond, true);
}

const writes = fc.array(
  fc.record({
    page: fc.oneof(fc.nat(9), fc.nat(PAGE_COUNT - 1)),
    content: fc.constantFrom("same" as const, "change" as const, "zero" as const, "copy" as const),
    seed: fc.nat(),
    link: fc.constantFrom(undefined, undefined, undefined, FAST, SLOW),
    ends: fc.boolean(),
  }),
  { minLength: 1, maxLength: 80 },
);

describe.each(builds)("a link that becomes fast and slow again, $name build", ({ create }) => {
  const encoding = create();
  const decoding = create();

  it("loses nothing, with a cache in step or with the destination's own pages", () => {
    const property = fc.property(
      writes,
      fc.constantFrom(0, MIN_CACHE_BYTES, PAGE_COUNT * PAGE_BYTES),
      (all, decoderCacheBytes) => {
        const marks = [encoding, decoding].map(({ arena }) => [arena, arena.mark()] as const);
        const memory = new Random(1).memoryLike(PAGE_COUNT * PAGE_BYTES);
        const copy = new Uint8Array(memory.length);
        const store = {
          readPages: (first: number, into: Uint8Array) => {
            into.set(copy.subarray(first * PAGE_BYTES, first * PAGE_BYTES + into.length));
          },
          writePages: (first: number, from: Uint8Array) => copy.set(from, first * PAGE_BYTES),
        };
        const encoder = encoderOf(encoding, decoderCacheBytes || PAGE_COUNT * PAGE_BYTES);
        const decoder = new PageDecoder(decoding, store, { ...SPACE, cacheBytes: decoderCacheBytes }, undefined);
        const send = (): void => {
          encoder.flush();
          for (let batch = encoder.take(); batch !== undefined; batch = encoder.take()) decoder.decode(batch);
          expectSameBytes(copy, memory);
        };
        encoder.add(0, memory);
        send();
        for (const { page, content, seed, link, ends } of all) {
          const random = new Random(seed);
          if (link !== undefined) observe(encoder, link);
          const bytes = memory.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
          if (content === "change") random.change(bytes, 3, 20);
          else if (content === "zero") bytes.fill(0);
          else if (content === "copy") bytes.set(memory.subarray(0, PAGE_BYTES));
          encoder.add(page, bytes);
          if (ends) send();
        }
        send();
        for (const [arena, mark] of marks) arena.release(mark);
      },
    );
    fc.assert(property, { seed: 5, numRuns: 150 });
  });

  it("is not kept waiting: no page is remembered, nor looked for among others", () => {
    const { arena } = encoding;
    const mark = arena.mark();
    const encoder = encoderOf(encoding, PAGE_COUNT * PAGE_BYTES);
    const pages = new Random(2).bytes(10 * PAGE_BYTES);
    pages.copyWithin(PAGE_BYTES, 0, PAGE_BYTES);
    const add = (): void => {
      encoder.add(0, pages);
      encoder.flush();
    };
    add();
    expect(encoder.encoded).toMatchObject({ novel: 9, dup: 1 });
    observe(encoder, FAST);
    add();
    expect(encoder.encoded).toMatchObject({ novel: 19, dup: 1, unchanged: 0 });
    observe(encoder, SLOW);
    add();
    expect(encoder.encoded, "what was not remembered is new").toMatchObject({ novel: 28, dup: 2, unchanged: 0 });
    add();
    expect(encoder.encoded).toMatchObject({ novel: 28, dup: 2, unchanged: 10 });
    observe(encoder, FAST);
    encoder.mayPass = false;
    add();
    expect(encoder.encoded, "what may come again is remembered").toMatchObject({ novel: 28, dup: 2, unchanged: 20 });
    arena.release(mark);
  });
});
