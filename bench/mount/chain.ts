import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { diffImages, LeafCache } from "pageferry/node";

const PAGE_BYTES = 4096;
const PAGE_WORDS = PAGE_BYTES / 4;
/** Of these pages most change in every patch, as a machine's own do; of the others few. */
const HOT_PAGES = 2000;
const HOT_CHANGES = 3000;
const COLD_CHANGES = 2000;
const NEW_PAGES = 500;
const RUN_BYTES = 32;
/** What is allocated together changes together. */
const RUN_PAGES = 10;
const SEED = 20261126;

/** A base image and patches in files, and the last image to compare with. */
export interface BenchChain {
  readonly basePath: string;
  readonly patchPaths: readonly string[];
  readonly last: Uint8Array;
}

/** Writes an image with 40 % zero pages, and patches that change some 5,500 of its pages each. */
export async function writeChain(folder: string, byteLength: number, patches: number): Promise<BenchChain> {
  const random = numbersFrom(SEED);
  const image = new Uint8Array(byteLength);
  const words = new Uint32Array(image.buffer);
  const pageCount = byteLength / PAGE_BYTES;
  const renew = (page: number): void => {
    const isText = random(2) === 0;
    for (let word = page * PAGE_WORDS; word < (page + 1) * PAGE_WORDS; word++) {
      words[word] = isText ? 0x2020_2020 + random(64) * 0x0101_0001 : random(2 ** 32);
    }
  };
  const change = (page: number): void => {
    for (let run = 0; run < 8; run++) {
      const at = page * PAGE_BYTES + random(PAGE_BYTES - RUN_BYTES);
      for (let byte = at; byte < at + RUN_BYTES; byte++) image[byte] = random(256);
    }
  };
  for (let page = 0; page < pageCount; page++) if (random(10) >= 4) renew(page);
  const basePath = join(folder, "base.raw");
  await writeFile(basePath, image);
  const patchPaths: string[] = [];
  let before = basePath;
  for (let patch = 1; patch <= patches; patch++) {
    for (let done = 0; done < HOT_CHANGES; done++) change(random(HOT_PAGES));
    for (let done = 0; done < COLD_CHANGES; done += RUN_PAGES) {
      const first = random(pageCount - RUN_PAGES);
      for (let page = first; page < first + RUN_PAGES; page++) change(page);
    }
    for (let done = 0; done < NEW_PAGES; done += RUN_PAGES) {
      const first = random(pageCount - RUN_PAGES);
      for (let page = first; page < first + RUN_PAGES; page++) renew(page);
    }
    const next = join(folder, `${patch}.raw`);
    await writeFile(next, image);
    const path = join(folder, `${patch}.patch`);
    await diffImages(before, next, path, { leafCache: new LeafCache() });
    if (before !== basePath) await rm(before);
    patchPaths.push(path);
    before = next;
  }
  await rm(before);
  return { basePath, patchPaths, last: image };
}

/** Whole numbers below a limit, the same ones from the same seed (xorshift32). */
function numbersFrom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}
