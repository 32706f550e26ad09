import { appendFileSync, mkdirSync, rmdirSync, statSync } from "node:fs";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { applyPatch } from "../../../src/guest/file/apply.js";
import { type DiffOptions, diffImages } from "../../../src/guest/file/diff.js";
import type { DiffReport } from "../../../src/guest/file/difference.js";
import { expectSameBytes } from "../../support/bytes.js";
import { Random } from "../../support/random.js";
import { ImageFolder, imageOf, PAGE_BYTES, successorOf } from "./images.js";

const MIB = 1 << 20;
const folder = new ImageFolder();
beforeEach(() => folder.empty());
afterAll(() => folder.remove());

/** Makes a patch, applies it, and expects the same image and nothing else. */
async function roundTrip(base: Uint8Array, next: Uint8Array, options: DiffOptions = {}): Promise<DiffReport> {
  folder.empty();
  const [left, right] = [folder.write("base", base), folder.write("next", next)];
  const report = await diffImages(left, right, folder.at("patch"), options);
  expect(statSync(folder.at("patch")).size).toBe(report.patchBytes);
  const { pages: _, ...header } = report;
  expect(await applyPatch(left, folder.at("patch"), folder.at("made"))).toEqual(header);
  expectSameBytes(folder.read("made"), next);
  expect(folder.names()).toEqual(["base", "made", "next", "patch"]);
  return report;
}

/** What counts as changed, page by page, an image's rest being zeros. */
function changedPages(base: Uint8Array, next: Uint8Array): number {
  let changed = 0;
  for (let at = 0; at < next.length; at += PAGE_BYTES) {
    const pages = [base, next].map((image) => {
      const page = Buffer.alloc(PAGE_BYTES);
      page.set(image.subarray(at, Math.min(at + PAGE_BYTES, next.length)));
      return page;
    });
    if (Buffer.compare(pages[0] as Buffer, pages[1] as Buffer) !== 0) changed += 1;
  }
  return changed;
}

describe("a patch makes of the base what the next image is", () => {
  const sizes = [0, 1, 4095, 4096, 4097, 65536, 100_000, MIB - 1, MIB, MIB + 1, 3 * MIB + 12_345];
  for (const baseBytes of sizes) {
    it(`from ${baseBytes} bytes to any length`, async () => {
      const random = new Random(baseBytes);
      const at = sizes.indexOf(baseBytes);
      // The same length, a shorter and a longer one, and two far away.
      const others = [at, at - 1, at + 1, at + 4, at + 7].map((index) => sizes.at(index % sizes.length) as number);
      for (const nextBytes of others) {
        const base = imageOf(random, baseBytes);
        const next = successorOf(random, base, nextBytes);
        const report = await roundTrip(base, next);
        expect(report).toMatchObject({ base: { byteLength: baseBytes }, next: { byteLength: nextBytes } });
        expect(report.changedPages, `${nextBytes} bytes`).toBe(changedPages(base, next));
      }
    });
  }

  it("also where the cache is smaller than the images", async () => {
    const random = new Random(7);
    const base = imageOf(random, 5 * MIB + 100);
    for (const nextBytes of [3 * MIB, 5 * MIB + 100, 7 * MIB]) {
      await roundTrip(base, successorOf(random, base, nextBytes), { cacheBytes: 2 * MIB });
    }
  });

  it("makes deltas in every part of images that are larger than the cache", async () => {
    const random = new Random(6);
    const base = random.bytes(5 * MIB);
    const next = base.slice();
    for (let at = 0; at < next.length; at += PAGE_BYTES) next.set(random.bytes(16), at + 160);
    const report = await roundTrip(base, next, { cacheBytes: 2 * MIB });
    expect(report.pages).toEqual({ zero: 0, fill: 0, dup: 0, delta: 5 * 256, novel: 0 });
  });

  it("finds nothing to do in equal images", async () => {
    const image = imageOf(new Random(1), 2 * MIB + 5);
    const report = await roundTrip(image, image);
    expect(report).toMatchObject({ changedPages: 0, batches: 0 });
    expect(report.base.digest).toBe(report.next.digest);
  });

  it("sends neither what the base holds elsewhere nor what did not change in a page", async () => {
    const random = new Random(2);
    const base = random.bytes(4 * MIB);
    const next = base.slice();
    // The last quarter comes to the front, and each page of the second changes a little.
    next.copyWithin(0, 3 * MIB);
    for (let at = MIB; at < 2 * MIB; at += PAGE_BYTES) next.set(random.bytes(16), at + 160);
    const report = await roundTrip(base, next);
    expect(report.pages).toEqual({ zero: 0, fill: 0, dup: 256, delta: 256, novel: 0 });
    expect(report.patchBytes).toBeLessThan(256 * 32);
  });

  it("keeps holes", async () => {
    const base = new Uint8Array(16 * MIB);
    base.set(new Random(3).bytes(10 * PAGE_BYTES), 5 * MIB);
    const next = base.slice();
    next.fill(0, 5 * MIB, 5 * MIB + PAGE_BYTES);
    next[12 * MIB] = 1;
    await roundTrip(base, next);
    expect(folder.diskBytes("made")).toBeLessThan(MIB);
  });
});

describe("a patch is refused", () => {
  const random = new Random(4);
  const base = imageOf(random, 300_000);
  const next = successorOf(random, base, 310_000);

  beforeEach(async () => {
    await diffImages(folder.write("base", base), folder.write("next", next), folder.at("patch"));
  });

  it("for another base, in each byte, length, or none", async () => {
    for (const at of [0, 65_535, 65_536, 299_999]) {
      const other = base.slice();
      other[at] = (other[at] as number) ^ 1;
      const made = applyPatch(folder.write("other", other), folder.at("patch"), folder.at("made"));
      await expect(made).rejects.toMatchObject({ code: "patch-base" });
    }
    for (const other of [base.subarray(0, 299_999), new Uint8Array(300_001).fill(0), new Uint8Array(0)]) {
      const made = applyPatch(folder.write("other", other), folder.at("patch"), folder.at("made"));
      await expect(made).rejects.toMatchObject({ code: "patch-base" });
    }
    expect(folder.names()).toEqual(["base", "next", "other", "patch"]);
  });

  it("for its own result, with a hint", async () => {
    const made = applyPatch(folder.at("next"), folder.at("patch"), folder.at("made"));
    await expect(made).rejects.toThrow(/applied already/);
  });

  it("for a base that is checked before anything is written", async () => {
    mkdirSync(folder.at("made"));
    // Were anything to be written, the folder in its place would be found first.
    const made = applyPatch(folder.at("next"), folder.at("patch"), folder.at("made"));
    await expect(made).rejects.toMatchObject({ code: "patch-base" });
    rmdirSync(folder.at("made"));
  });
});

describe("nothing is overwritten or left half done", () => {
  const random = new Random(5);
  const base = imageOf(random, 3 * MIB);
  const next = successorOf(random, base, 3 * MIB);
  const old = Uint8Array.of(1, 2, 3);

  beforeEach(() => {
    folder.write("base", base);
    folder.write("next", next);
  });

  const diff = (options?: DiffOptions): Promise<DiffReport> =>
    diffImages(folder.at("base"), folder.at("next"), folder.at("patch"), options);

  it("unless it is asked for", async () => {
    folder.write("patch", old);
    const never = (): never => expect.fail("The images were read first.");
    await expect(diff({ onProgress: never })).rejects.toThrow(/exists already/);
    expectSameBytes(folder.read("patch"), old);
    await diff({ overwrite: true });
    folder.write("made", old);
    const apply = (overwrite: boolean, path: string) =>
      applyPatch(folder.at("base"), folder.at("patch"), folder.at(path), { overwrite });
    await expect(apply(false, "made")).rejects.toThrow(/exists already/);
    expectSameBytes(folder.read("made"), old);
    await apply(true, "made");
    expectSameBytes(folder.read("made"), next);
    await apply(true, "base");
    expectSameBytes(folder.read("base"), next);
  });

  it("when it is stopped on its way", async () => {
    const abort = new AbortController();
    const stopped = diff({ signal: abort.signal, onProgress: () => abort.abort(new Error("stopped")) });
    await expect(stopped).rejects.toThrow("stopped");
    expect(folder.names()).toEqual(["base", "next"]);
    await diff();
    for (const stop of ["checking the base", "applying", "checking the result"]) {
      const { signal, abort: doAbort } = cancellation();
      const onProgress = (step: string): void => {
        if (step === stop) doAbort();
      };
      const made = applyPatch(folder.at("base"), folder.at("patch"), folder.at("made"), { signal, onProgress });
      await expect(made, stop).rejects.toThrow("stopped");
      expect(folder.names(), stop).toEqual(["base", "next", "patch"]);
    }
  });

  it("when an image changes meanwhile", async () => {
    for (const name of ["base", "next"]) {
      const grow = (done: number): void => {
        if (done === MIB) appendFileSync(folder.at(name), "x");
      };
      await expect(diff({ onProgress: grow })).rejects.toThrow(/changed while it was read/);
    }
    expect(folder.names()).toEqual(["base", "next"]);
    await diff();
    const apply = applyPatch(folder.at("base"), folder.at("patch"), folder.at("made"), {
      onProgress: (step, done, total) => {
        if (step === "checking the base" && done === total) appendFileSync(folder.at("base"), "x");
      },
    });
    await expect(apply).rejects.toThrow(/changed while it was read/);
    expect(folder.names()).toEqual(["base", "next", "patch"]);
  });

  it("when there is nothing to read, or no file", async () => {
    await expect(diffImages(folder.at("none"), folder.at("next"), folder.at("patch"))).rejects.toThrow(
      /none cannot be read: no such file or directory\.$/,
    );
    await expect(diffImages(folder.path, folder.at("next"), folder.at("patch"))).rejects.toThrow(/not a regular file/);
    await expect(diffImages("/dev/zero", folder.at("next"), folder.at("patch"))).rejects.toMatchObject({
      code: "image",
    });
    expect(folder.names()).toEqual(["base", "next"]);
  });

  it("and until the end there is no file of that name", async () => {
    const seen: boolean[] = [];
    await diff({ onProgress: () => seen.push(folder.names().includes("patch")) });
    expect(seen).toEqual([false, false, false]);
  });
});

function cancellation(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(new Error("stopped")) };
}
