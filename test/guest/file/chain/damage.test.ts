import { afterAll, afterEach, describe, expect, it } from "vitest";
import { GuestError } from "../../../../src/guest/errors.js";
import { Chain } from "../../../../src/guest/file/chain/chain.js";
import { ChainReader } from "../../../../src/guest/file/chain/chain-reader.js";
import { diffImages } from "../../../../src/guest/file/diff.js";
import { LeafDigests } from "../../../../src/guest/file/leaf-digests.js";
import { VerifiedImage } from "../../../../src/guest/file/verified-image.js";
import { expectSameBytes } from "../../../support/bytes.js";
import { Random } from "../../../support/random.js";
import { ImageFolder, PAGE_BYTES } from "../images.js";
import { BATCHES_AT, chainOf, hotImages, type TestChain } from "./chains.js";

const FRAME_HEADER_BYTES = 16;
const folder = new ImageFolder();
const chains: Chain[] = [];
afterEach(() => {
  for (const chain of chains.splice(0)) chain.close();
});
afterAll(() => folder.remove());

async function open(basePath: string, ...patchPaths: readonly string[]): Promise<Chain> {
  const chain = await Chain.open(basePath, patchPaths);
  chains.push(chain);
  return chain;
}

async function refusal(basePath: string, ...patchPaths: readonly string[]): Promise<GuestError> {
  const error = await open(basePath, ...patchPaths).catch((reason) => reason);
  expect(error).toBeInstanceOf(GuestError);
  return error as GuestError;
}

/** Where each batch of a patch begins. */
function batchesOf(patch: Uint8Array): number[] {
  const starts: number[] = [];
  const view = new DataView(patch.buffer);
  for (let at = BATCHES_AT; at < patch.length; at += FRAME_HEADER_BYTES + view.getUint32(at + 4, true)) starts.push(at);
  return starts;
}

/** What became of each page: "right", or the code of its error. Wrong bytes fail. */
function outcomes(reader: ChainReader, image: Uint8Array): string[] {
  const bytes = new Uint8Array(PAGE_BYTES);
  return Array.from({ length: reader.pageCount }, (_, page) => {
    try {
      reader.readPage(page, bytes);
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      return error.code;
    }
    expectSameBytes(bytes, image.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
    return "right";
  });
}

describe("the order of a chain", () => {
  it("is checked before anything is read", async () => {
    const { basePath, patchPaths } = await chainOf(folder, hotImages(new Random(1), 20, 3, [2]));
    const [first, second, third] = patchPaths as [string, string, string];
    const code = "patch-base";
    const message = `Patch 2 of 2 (${third}) does not build on the one before it (${first}); patches go in the order in which they were made.`;
    expect(await refusal(basePath, first, third)).toMatchObject({ code, message });
    expect(await refusal(basePath, second, first)).toMatchObject({ code });
    expect(await refusal(first, second)).toMatchObject({ code, message: expect.stringContaining("is a patch itself") });
    const short = folder.write("short", folder.read("image-0").subarray(1));
    expect(await refusal(short, first)).toMatchObject({ code, message: expect.stringContaining("of 81920 bytes") });
    expect(await refusal(basePath, basePath)).toMatchObject({
      code: "patch-malformed",
      message: expect.stringContaining(basePath),
    });
    expect(await refusal(basePath, folder.at("nothing"))).toMatchObject({ code: "image" });
  });
});

describe("a damaged chain", () => {
  const random = new Random(12);
  /** Two batches of novel pages, and pages that stay. */
  async function novelChain(): Promise<TestChain> {
    const base = random.memoryLike(3500 * PAGE_BYTES);
    const second = base.slice();
    second.set(random.bytes(2200 * PAGE_BYTES), 500 * PAGE_BYTES);
    // A page that is of a damaged batch, twice, and one that is of none.
    second.copyWithin(3000 * PAGE_BYTES, 510 * PAGE_BYTES, 511 * PAGE_BYTES);
    second.copyWithin(3001 * PAGE_BYTES, 3400 * PAGE_BYTES, 3401 * PAGE_BYTES);
    const third = second.slice();
    third.set(random.bytes(10 * PAGE_BYTES), 520 * PAGE_BYTES);
    return chainOf(folder, [base, second, third]);
  }

  it("costs the pages that may be in a damaged batch, or need one of them, and no others", async () => {
    const { basePath, patchPaths, images } = await novelChain();
    const second = patchPaths[1] as string;
    const patch = folder.read("patch-1");
    const starts = batchesOf(patch);
    expect(starts.length).toBeGreaterThan(2);
    const last = images.at(-1) as Uint8Array;
    for (const [batch, change] of [
      [0, 100],
      [1, FRAME_HEADER_BYTES],
      [1, 2],
    ] as const) {
      const damaged = patch.slice();
      const at = (starts[batch] as number) + change;
      damaged[at] = (damaged[at] as number) ^ 0x10;
      const chain = await open(basePath, folder.write("damaged", damaged), second);
      const reader = await ChainReader.open(chain, chain.base);
      const found = outcomes(reader, last);
      const bad = found.flatMap((outcome, page) => (outcome === "right" ? [] : [page]));
      expect(new Set(bad.map((page) => found[page]))).toEqual(new Set(["patch-malformed"]));
      expect(bad.length).toBeGreaterThan(900);
      // What is before and behind the damaged batch, and what a later patch writes anew, can be read.
      expect(found.slice(520, 530)).toEqual(Array(10).fill("right"));
      expect(found[3001]).toBe("right");
      expect(found[3499]).toBe("right");
      expect(found[3000]).toBe(batch === 0 ? "patch-malformed" : "right");
      expect(found.slice(batch === 0 ? 2000 : 0, batch === 0 ? 2600 : 1400)).not.toContain("patch-malformed");
    }
  });

  it("costs all pages behind a batch whose length is damaged", async () => {
    const { basePath, images } = await novelChain();
    const patch = folder.read("patch-1");
    const starts = batchesOf(patch);
    const at = (starts[1] as number) + 4;
    patch[at] = (patch[at] as number) ^ 1;
    const chain = await open(basePath, folder.write("damaged", patch));
    const reader = await ChainReader.open(chain, chain.base);
    const found = outcomes(reader, images[1] as Uint8Array);
    const firstBad = found.indexOf("patch-malformed");
    expect(firstBad).toBeGreaterThan(1400);
    expect(new Set(found.slice(firstBad))).toEqual(new Set(["patch-malformed"]));
  });

  it("gives no page of a base that is another by now", async () => {
    const images = hotImages(new Random(2), 64, 1, [2, 40]);
    const { basePath, patchPaths } = await chainOf(folder, images);
    const chain = await open(basePath, ...patchPaths);
    const leaves = await LeafDigests.compute(chain.base, async () => {});
    const base = folder.read("image-0");
    base[17 * PAGE_BYTES] = (base[17 * PAGE_BYTES] as number) ^ 1;
    folder.write("image-0", base);
    const reader = await ChainReader.open(chain, new VerifiedImage(chain.base, leaves));
    const found = outcomes(reader, images[1] as Uint8Array);
    expect(found.flatMap((outcome, page) => (outcome === "patch-base" ? [page] : []))).toEqual(
      Array.from({ length: 16 }, (_, page) => 16 + page),
    );
    expect(new Set(found)).toEqual(new Set(["right", "patch-base"]));
  });

  it("is refused where its pages are not as many as it says", async () => {
    const { basePath } = await chainOf(folder, hotImages(new Random(4), 20, 1, [2, 3]));
    const other = hotImages(new Random(4), 20, 1, [2]);
    await diffImages(
      folder.write("a", other[0] as Uint8Array),
      folder.write("b", other[1] as Uint8Array),
      folder.at("p"),
    );
    const [long, short] = [folder.read("patch-1"), folder.read("p")];
    expect(long.length).not.toBe(short.length);
    const mixed = Buffer.concat([long.subarray(0, BATCHES_AT), short.subarray(BATCHES_AT)]);
    folder.write("mixed", mixed);
    expect(await refusal(basePath, folder.at("mixed"))).toMatchObject({ code: "patch-malformed" });
  });
});
