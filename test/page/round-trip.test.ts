import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Kernels } from "../../src/index.js";
import type { Compression } from "../../src/page/compression/compressor.js";
import { loadZstd } from "../../src/page/compression/zstd.js";
import { PageDecoder } from "../../src/page/decoder.js";
import { PageEncoder } from "../../src/page/encoder.js";
import { builds } from "../support/builds.js";
import { expectSameBytes } from "../support/bytes.js";
import { PAGE_SIZES } from "../support/pages.js";
import { Random } from "../support/random.js";
import { TestStore, WriteOnlyStore } from "./stores.js";

const zstd = await loadZstd();
const MIN_CACHE_BYTES = 256 << 10;

/** What happens to a stretch of pages before they are added. */
const CHANGES = ["zero", "fill", "novel", "delta", "rewrite", "copy", "swap", "same", "restore", "twice"] as const;

interface Step {
  readonly change: (typeof CHANGES)[number];
  /** Where, as shares of all pages. */
  readonly first: number;
  readonly count: number;
  readonly other: number;
  readonly seed: number;
  readonly flushes: boolean;
}

interface Machine {
  readonly pageBytes: number;
  /** How many times as many pages as the smallest cache has slots. */
  readonly slotsTimes: number;
  readonly cache: "none" | "small" | "odd" | "all";
  readonly compression: Compression;
  readonly batchBytes: number;
  readonly holds: boolean;
}

const share = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    change: fc.constantFrom(...CHANGES),
    first: share,
    count: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 0.4, noNaN: true })),
    other: share,
    seed: fc.nat(),
    flushes: fc.constantFrom(false, false, true),
  }),
  { minLength: 1, maxLength: 14 },
);
const machines: fc.Arbitrary<Machine> = fc.record({
  pageBytes: fc.constantFrom(...PAGE_SIZES),
  slotsTimes: fc.constantFrom(0.3, 1, 1.4, 3),
  cache: fc.constantFrom("none" as const, "small" as const, "odd" as const, "all" as const),
  compression: fc.constantFrom("none" as const, "lz4" as const, "zstd" as const, "auto" as const),
  batchBytes: fc.constantFrom(1, 5000, 1 << 20),
  holds: fc.boolean(),
});

/** A machine of which some pages change, and what they were before. */
class Model {
  readonly bytes: Uint8Array;
  readonly pageCount: number;
  readonly #pageBytes: number;
  readonly #former: Uint8Array;

  constructor(pageCount: number, pageBytes: number) {
    this.pageCount = pageCount;
    this.#pageBytes = pageBytes;
    this.bytes = new Uint8Array(pageCount * pageBytes);
    this.#former = this.bytes.slice();
  }

  page(number: number): Uint8Array {
    return this.bytes.subarray(number * this.#pageBytes, (number + 1) * this.#pageBytes);
  }

  /** The stretch of pages that a step is about. */
  stretch({ first, count }: Step): readonly [number, number] {
    const from = Math.floor(first * this.pageCount);
    return [from, Math.min(this.pageCount - from, 1 + Math.floor(count * this.pageCount))];
  }

  change(step: Step): void {
    const random = new Random(step.seed);
    const [first, count] = this.stretch(step);
    const others = Math.floor(step.other * (this.pageCount - count + 1));
    for (let at = 0; at < count; at++) {
      const page = this.page(first + at);
      const other = this.page(others + at);
      const former = this.#former.subarray((first + at) * this.#pageBytes, (first + at + 1) * this.#pageBytes);
      const before = page.slice();
      switch (step.change) {
        case "zero":
          page.fill(0);
          break;
        case "fill":
          new Uint32Array(page.buffer, page.byteOffset, page.length / 4).forEach((_, word, words) => {
            words[word] = word % 2 === 0 ? step.seed : (step.seed >> (at % 3)) & 3;
          });
          break;
        case "novel":
          page.set(random.memoryLike(256));
          page.set(random.bytes(Math.min(page.length - 256, 700)), 256);
          break;
        case "delta":
        case "twice":
          random.change(page, 1 + random.below(4), 12);
          break;
        case "rewrite":
          page.forEach((byte, index) => {
            page[index] = index % 2 === 0 ? ~byte : byte;
          });
          break;
        case "copy":
          page.set(other);
          break;
        case "swap":
          page.set(other);
          other.set(before);
          break;
        case "restore":
          page.set(former);
          break;
        case "same":
      }
      former.set(before);
    }
  }

  /** The stretches whose pages a step changed. */
  changed(step: Step): (readonly [number, number])[] {
    const [first, count] = this.stretch(step);
    const stretch = [first, count] as const;
    return step.change === "swap"
      ? [stretch, [Math.floor(step.other * (this.pageCount - count + 1)), count]]
      : [stretch];
  }
}

function cacheBytesOf({ cache, pageBytes }: Machine, pageCount: number): number {
  const all = Math.max(MIN_CACHE_BYTES, pageCount * pageBytes);
  return { none: 0, small: MIN_CACHE_BYTES, odd: MIN_CACHE_BYTES + 3 * pageBytes + 1000, all }[cache];
}

/** Plays the steps, each decoded as soon as it is encoded, and compares all memory at every flush. */
function play(encoding: Kernels, decoding: Kernels, machine: Machine, allSteps: readonly Step[]): void {
  const { pageBytes, compression, batchBytes } = machine;
  const pageCount = Math.ceil((machine.slotsTimes * MIN_CACHE_BYTES) / pageBytes);
  const space = { pageBytes, pageCount };
  const cacheBytes = cacheBytesOf(machine, pageCount);
  const model = new Model(pageCount, pageBytes);
  const encoder = new PageEncoder(encoding, { ...space, compression, cacheBytes, batchBytes, zstdLevel: 1 }, zstd);
  const stores = [cacheBytes > 0 ? new TestStore(pageCount, pageBytes) : new WriteOnlyStore(pageCount, pageBytes)];
  const decoders = [new PageDecoder(decoding, stores[0] as TestStore, { ...space, cacheBytes: 0 }, zstd)];
  if (machine.holds) {
    // An older image: some pages of everything.
    for (const [at, change] of (["novel", "copy", "zero", "fill"] as const).entries()) {
      model.change({ change, first: at / 5, count: 0.25, other: 0.1, seed: at, flushes: false });
    }
    stores[0]?.bytes.set(model.bytes);
    encoder.hold(0, model.bytes);
  } else if (cacheBytes > 0) {
    stores.push(new WriteOnlyStore(pageCount, pageBytes));
    decoders.push(new PageDecoder(decoding, stores[1] as TestStore, { ...space, cacheBytes }, zstd));
  }
  let decoded = 0;
  const decode = (): void => {
    for (let batch = encoder.take(); batch !== undefined; batch = encoder.take()) {
      const counts = decoders.map((decoder) => decoder.decode(batch as Uint8Array));
      expect(new Set(counts).size).toBe(1);
      decoded += counts[0] as number;
    }
  };
  let added = 0;
  for (const [index, step] of allSteps.entries()) {
    for (let again = step.change === "twice" ? 2 : 1; again > 0; again--) {
      model.change({ ...step, seed: step.seed + again });
      for (const [first, count] of model.changed(step)) {
        encoder.add(first, model.bytes.subarray(first * pageBytes, (first + count) * pageBytes));
        added += count;
      }
    }
    decode();
    if (!step.flushes && index < allSteps.length - 1) continue;
    encoder.flush();
    decode();
    for (const store of stores) expectSameBytes(store.bytes, model.bytes);
  }
  const { zero, fill, dup, delta, novel, unchanged } = encoder.encoded;
  expect(zero + fill + dup + delta + novel).toBe(decoded);
  expect(decoded + unchanged).toBe(added);
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe.each(builds)("pages through encoder and decoder, $name build", ({ create }) => {
  const encoding = create();
  const decoding = create();

  function check(numRuns: number, seed: number): void {
    fc.assert(
      fc.property(machines, steps, (machine, allSteps) => {
        const marks = [encoding, decoding].map(({ arena }) => [arena, arena.mark()] as const);
        try {
          play(encoding, decoding, machine, allSteps);
        } finally {
          for (const [arena, mark] of marks) arena.release(mark);
        }
      }),
      { numRuns, seed },
    );
  }

  it("come out as they went in, whatever happens to them", () => {
    check(60, 7);
  });

  it.each([
    ["the same", 1],
    ["zero, which is never found again", 0],
  ])("come out as they went in where all fingerprints are %s", (_, byte) => {
    vi.spyOn(encoding.fingerprint, "pages").mockImplementation((_pages, _pageBytes, _secret, fingerprints) => {
      fingerprints.bytes.fill(byte);
    });
    check(20, 8);
  });

  it("come out as they went in where many fingerprints are the same", () => {
    vi.spyOn(encoding.fingerprint, "pages").mockImplementation((pages, pageBytes, _secret, fingerprints) => {
      for (let page = 0; page * pageBytes < pages.byteLength; page++) {
        const kind = 1 + ((pages.bytes[page * pageBytes + 300] as number) & 3);
        fingerprints.bytes.fill(kind, page * 16, page * 16 + 16);
      }
    });
    check(20, 9);
  });
});
