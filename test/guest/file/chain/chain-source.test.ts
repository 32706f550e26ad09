import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { ChainSource } from "../../../../dist/guest/file/mount/chain-source.js";
import type { FuseRead } from "../../../../src/guest/fuse/session.js";
import { expectSameBytes } from "../../../support/bytes.js";
import { Random } from "../../../support/random.js";
import { ImageFolder, PAGE_BYTES } from "../images.js";
import { chainOf, hotImages, randomImages, type TestChain } from "./chains.js";

const MAX_READ_BYTES = 1 << 20;
const folder = new ImageFolder();
const sources: ChainSource[] = [];
const cacheBefore = process.env["XDG_CACHE_HOME"];
beforeEach(() => {
  process.env["XDG_CACHE_HOME"] = folder.at("cache");
});
afterEach(async () => {
  for (const source of sources.splice(0)) await source.close();
});
afterAll(() => {
  if (cacheBefore === undefined) delete process.env["XDG_CACHE_HOME"];
  else process.env["XDG_CACHE_HOME"] = cacheBefore;
  folder.remove();
});

function sourceOf({ basePath, patchPaths }: TestChain, mostReads = 4, notices: string[] = []): ChainSource {
  const data = { basePath, patchPaths, mostReads };
  const source = new ChainSource(data, undefined, MAX_READ_BYTES, (sentence) => notices.push(sentence));
  sources.push(source);
  return source;
}

/** What a read is answered with; the error number where it fails. */
function read(source: ChainSource, offset: number, byteLength: number): Promise<Uint8Array | number> {
  return new Promise((resolve) => {
    const answer = (...pieces: readonly Uint8Array[]): void => resolve(Buffer.concat(pieces));
    source.read({ offset, byteLength, answer, fail: resolve } satisfies FuseRead);
  });
}

describe("the reads of a mounted chain", () => {
  it("give what the patches make, from the first moment on, whatever they ask for", async () => {
    const random = new Random(17);
    const chain = await chainOf(folder, randomImages(random, [700_000, 900_000, 650_001, 850_000]));
    const last = chain.images.at(-1) as Uint8Array;
    // Without and with the digests of the last image, which the first time leaves.
    for (const mostReads of [4, 1]) {
      const source = sourceOf(chain, mostReads);
      const reads = Array.from({ length: 60 }, async () => {
        const offset = random.below(Math.floor(last.length / PAGE_BYTES)) * PAGE_BYTES;
        const byteLength = Math.min(1 + random.below(40 * PAGE_BYTES), last.length - offset);
        expectSameBytes(
          (await read(source, offset, byteLength)) as Uint8Array,
          last.subarray(offset, offset + byteLength),
        );
      });
      await Promise.all(reads);
      expect(await source.byteLength).toBe(last.length);
      await source.settled;
      expectSameBytes((await read(source, 0, last.length)) as Uint8Array, last);
    }
  });

  it("read a page that was decoded beforehand, though what it was made of has gone", async () => {
    const chain = await chainOf(folder, hotImages(new Random(2), 64, 5, [3, 40]));
    const last = chain.images.at(-1) as Uint8Array;
    const source = sourceOf(chain);
    await source.settled;
    for (const path of chain.patchPaths) folder.write(path.slice(folder.path.length + 1), new Uint8Array(0));
    const bytes = await read(source, 3 * PAGE_BYTES, PAGE_BYTES);
    expectSameBytes(bytes as Uint8Array, last.subarray(3 * PAGE_BYTES, 4 * PAGE_BYTES));
  });

  it("fail when the base is written to", async () => {
    const chain = await chainOf(folder, hotImages(new Random(2), 64, 1, [3]));
    const notices: string[] = [];
    const source = sourceOf(chain, 4, notices);
    expect(await read(source, 50 * PAGE_BYTES, PAGE_BYTES)).toBeInstanceOf(Uint8Array);
    folder.write("image-0", new Uint8Array(64 * PAGE_BYTES));
    expect(await read(source, 50 * PAGE_BYTES, PAGE_BYTES)).toBe(5);
    expect(notices.at(-1)).toContain("changed while it was read");
  });

  it("fail, and no later one is answered, where the source is closed", async () => {
    const chain = await chainOf(folder, hotImages(new Random(2), 64, 1, [3]));
    const source = sourceOf(chain);
    const early = read(source, 0, PAGE_BYTES);
    await source.close();
    expect(await early).toBe(5);
    expect(await read(source, 0, PAGE_BYTES)).toBe(5);
    await expect(source.settled).rejects.toMatchObject({ code: "image" });
  });
});
