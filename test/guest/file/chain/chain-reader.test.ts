import fc from "fast-check";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { Chain } from "../../../../src/guest/file/chain/chain.js";
import { ChainReader } from "../../../../src/guest/file/chain/chain-reader.js";
import { expectSameBytes } from "../../../support/bytes.js";
import { Random } from "../../../support/random.js";
import { ImageFolder, PAGE_BYTES } from "../images.js";
import { chainOf, hotImages, randomImages, type TestChain } from "./chains.js";

const folder = new ImageFolder();
const chains: Chain[] = [];
afterEach(() => {
  for (const chain of chains.splice(0)) chain.close();
});
afterAll(() => folder.remove());

async function readerOf({ basePath, patchPaths }: TestChain, patches = patchPaths.length): Promise<ChainReader> {
  const chain = await Chain.open(basePath, patchPaths.slice(0, patches));
  chains.push(chain);
  return ChainReader.open(chain, chain.base);
}

function pageOf(image: Uint8Array, page: number): Uint8Array {
  const bytes = new Uint8Array(PAGE_BYTES);
  bytes.set(image.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
  return bytes;
}

describe("a reader of a chain", () => {
  it("gives the bytes that applying the patches in turn makes, in any order, whatever the images", async () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 60 * PAGE_BYTES }), { minLength: 2, maxLength: 5 });
    const round = fc.record({ seed: fc.integer(), lengths, isSameLength: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(round, async ({ seed, lengths, isSameLength }) => {
        const random = new Random(seed);
        const all = isSameLength ? lengths.map(() => lengths[0] as number) : lengths;
        const test = await chainOf(folder, randomImages(random, all));
        const last = test.images.at(-1) as Uint8Array;
        const reader = await readerOf(test);
        for (let read = 0; read < 100; read++) {
          const position = random.below(last.length);
          const bytes = new Uint8Array(1 + random.below(3 * PAGE_BYTES));
          reader.read(position, bytes);
          const expected = new Uint8Array(bytes.length);
          expected.set(last.subarray(position, position + bytes.length));
          expectSameBytes(bytes, expected);
        }
        const base = test.images[0] as Uint8Array;
        for (let page = 0; page < reader.pageCount; page++) {
          if (reader.nextChanged(page) === page) continue;
          expectSameBytes(pageOf(last, page), pageOf(base, page));
          expect(reader.readsOf(page)).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 15 },
    );
  });

  it("counts a read for each delta, and one for where they begin", async () => {
    const random = new Random(3);
    const images = hotImages(random, 40, 5, [7, 30]);
    const last = images.at(-1) as Uint8Array;
    last.set(random.bytes(PAGE_BYTES), 20 * PAGE_BYTES);
    last.fill(9, 21 * PAGE_BYTES, 22 * PAGE_BYTES);
    last.copyWithin(22 * PAGE_BYTES, 3 * PAGE_BYTES, 4 * PAGE_BYTES);
    last.copyWithin(23 * PAGE_BYTES, 20 * PAGE_BYTES, 21 * PAGE_BYTES);
    const test = await chainOf(folder, images);
    const reader = await readerOf(test);
    const reads = [7, 30, 8, 20, 21, 22, 23].map((page) => reader.readsOf(page));
    expect(reads).toEqual([6, 6, 1, 1, 0, 1, 1]);
    expect([0, 7, 8, 20, 22, 24, 31].map((page) => reader.nextChanged(page))).toEqual([7, 7, 20, 20, 22, 30, 40]);
    const three = await readerOf(test, 3);
    expect(three.readsOf(7)).toBe(4);
    const page = new Uint8Array(PAGE_BYTES);
    three.readPage(7, page);
    expectSameBytes(page, pageOf(test.images[3] as Uint8Array, 7));
  });

  it("takes a dup for the page as it was at its place in the patch", async () => {
    const random = new Random(5);
    const base = random.memoryLike(12 * PAGE_BYTES);
    const next = base.slice();
    // Page 2 becomes what page 5 was, page 3 what page 2 was, page 6 what page 2 is now; page 5 goes.
    next.set(pageOf(base, 5), 2 * PAGE_BYTES);
    next.set(pageOf(base, 2), 3 * PAGE_BYTES);
    next.set(pageOf(base, 5), 6 * PAGE_BYTES);
    next.set(random.bytes(PAGE_BYTES), 5 * PAGE_BYTES);
    const test = await chainOf(folder, [base, next, next.slice().reverse()]);
    for (const patches of [1, 2]) {
      const reader = await readerOf(test, patches);
      const bytes = new Uint8Array(base.length);
      reader.read(0, bytes);
      expectSameBytes(bytes, test.images[patches] as Uint8Array);
    }
  });

  it("reads images that were compared piece by piece, and batches that do not fit into what is kept", async () => {
    const random = new Random(8);
    const images = randomImages(random, [5_000_000, 5_200_000, 4_700_001]);
    const test = await chainOf(folder, images, 1 << 20);
    const reader = await readerOf(test);
    const bytes = new Uint8Array(reader.byteLength);
    reader.read(0, bytes);
    expectSameBytes(bytes, images.at(-1) as Uint8Array);
  });
});
