import { afterAll, describe, expect, it } from "vitest";
import { applyPatch } from "../../../../src/guest/file/apply.js";
import { squashPatches } from "../../../../src/guest/file/chain/squash.js";
import { summarizeChain } from "../../../../src/guest/file/chain/summary.js";
import { LeafCache } from "../../../../src/guest/file/leaf-cache.js";
import { expectSameBytes } from "../../../support/bytes.js";
import { Random } from "../../../support/random.js";
import { ImageFolder, PAGE_BYTES } from "../images.js";
import { chainOf, forge, hotImages, randomImages } from "./chains.js";

const folder = new ImageFolder();
afterAll(() => folder.remove());

describe("squashPatches", () => {
  it("makes a patch that makes what all in turn make", async () => {
    const random = new Random(31);
    for (const lengths of [
      [900_000, 900_000, 900_000, 900_000],
      [900_000, 1_300_001, 5, 700_000],
    ]) {
      const { basePath, patchPaths, images } = await chainOf(folder, randomImages(random, lengths));
      const report = await squashPatches(basePath, patchPaths, folder.at("squashed"), { overwrite: true });
      await applyPatch(basePath, folder.at("squashed"), folder.at("made"), { overwrite: true });
      expectSameBytes(folder.read("made"), images.at(-1) as Uint8Array);
      expect(folder.read("squashed").length).toBe(report.patchBytes);
      // A squashed patch is one like others.
      const again = await summarizeChain(basePath, [folder.at("squashed")]);
      expect(again.patches[0]).toMatchObject({ changedPages: report.changedPages, alivePages: report.changedPages });
    }
  });

  it("refuses a patch that does not make what it promises, though all its checksums are right", async () => {
    const { basePath, patchPaths } = await chainOf(folder, hotImages(new Random(2), 50, 2, [3, 4, 20]));
    const next = { byteLength: 50 * PAGE_BYTES, digest: "ab".repeat(32) };
    folder.write("patch-2", await forge(folder.read("patch-2"), { next }));
    await expect(squashPatches(basePath, patchPaths, folder.at("out"))).rejects.toMatchObject({
      code: "patch-malformed",
      message: expect.stringContaining("it does not make the image that it promises"),
    });
    expect(folder.names()).not.toContain("out");
  });

  it("leaves nothing where the base is another, a patch is damaged, or the name is taken", async () => {
    const { basePath, patchPaths } = await chainOf(folder, hotImages(new Random(2), 50, 2, [3, 4, 20]));
    const names = folder.names();
    const other = folder.read("image-0");
    other[49 * PAGE_BYTES] = (other[49 * PAGE_BYTES] as number) ^ 1;
    folder.write("image-0", other);
    const squash = (): Promise<unknown> => squashPatches(basePath, patchPaths, folder.at("out"));
    await expect(squash()).rejects.toMatchObject({ code: "patch-base" });
    other[49 * PAGE_BYTES] = (other[49 * PAGE_BYTES] as number) ^ 1;
    folder.write("image-0", other);
    const patch = folder.read("patch-2");
    patch[patch.length - 1] = (patch.at(-1) as number) ^ 1;
    folder.write("patch-2", patch);
    await expect(squash()).rejects.toMatchObject({ code: "patch-malformed" });
    const taken = folder.write("taken", Uint8Array.of(1));
    await expect(squashPatches(basePath, [patchPaths[0] as string], taken)).rejects.toMatchObject({ code: "image" });
    expect(folder.names()).toEqual([...names, "taken"].sort());
  });
});

describe("summarizeChain", () => {
  it("counts changed and living pages, and reads", async () => {
    const images = hotImages(new Random(9), 64, 6, [1, 2, 3]);
    const last = images.at(-1) as Uint8Array;
    last.set(new Random(1).bytes(PAGE_BYTES), 2 * PAGE_BYTES);
    last.fill(0, 50 * PAGE_BYTES, 51 * PAGE_BYTES);
    const { basePath, patchPaths } = await chainOf(folder, images);
    const summary = await summarizeChain(basePath, patchPaths, { mostReads: 5 });
    expect(summary.patches.map(({ changedPages }) => changedPages)).toEqual([3, 3, 3, 3, 3, 4]);
    expect(summary.patches.map(({ alivePages }) => alivePages)).toEqual([0, 0, 0, 0, 0, 4]);
    // Page 50 none, the 60 others and page 2 one, pages 1 and 3 seven.
    expect(summary.pagesByReads).toEqual([1, 61, 0, 0, 0, 0, 0, 2]);
    expect(summary).toMatchObject({ mostReads: 5, pagesBeyond: 2, rawBytes: 7 * 64 * PAGE_BYTES });
    const patchBytes = summary.patches.reduce((sum, patch) => sum + patch.patchBytes, 0);
    expect(summary.storedBytes).toBe(64 * PAGE_BYTES + patchBytes);
    expect(summary.squashedBytes).toBe(64 * PAGE_BYTES + (summary.patches[5]?.patchBytes as number));
  });
});

describe("the leaves that are kept", () => {
  it("are found by the image's digest, and not trusted", async () => {
    const cacheFolder = folder.at("leaves");
    const cache = new LeafCache(cacheFolder);
    const { basePath, patchPaths } = await chainOf(folder, randomImages(new Random(6), [700_000, 800_000]));
    const { base, next } = await squashPatches(basePath, patchPaths, folder.at("one"), { leafCache: cache });
    expect((await cache.find(base.digest, base.byteLength))?.bytes.length).toBe(11 * 32);
    expect(await (await cache.find(next.digest, next.byteLength))?.root()).toBe(next.digest);
    expect(await cache.find(next.digest, next.byteLength + 1)).toBeUndefined();
    const list = folder.read(`leaves/${base.digest}`);
    list[40] = (list[40] as number) ^ 1;
    folder.write(`leaves/${base.digest}`, list);
    expect(await cache.find(base.digest, base.byteLength)).toBeUndefined();
    expect(await new LeafCache(folder.at("image-0")).find(base.digest, base.byteLength)).toBeUndefined();
  });
});
