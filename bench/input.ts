import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";

export const PAGE_BYTES = 4096;
/** As much as no cache holds. */
export const REGION_BYTES = 128 << 20;
export const PAGE_COUNT: number = REGION_BYTES / PAGE_BYTES;
export const REGION_NAME: string = `${REGION_BYTES >> 20} MiB of the node binary`;

const binary = readFileSync(process.execPath);

/** Fills a region with the bytes of the node binary, from its start again where it is too short. */
export function fillWithBinary(region: Uint8Array): void {
  for (let at = 0; at < region.length; at += binary.length) {
    region.set(binary.subarray(0, Math.min(binary.length, region.length - at)), at);
  }
}

export function fillWithRandom(region: Uint8Array): void {
  randomFillSync(region);
}

/** A region cut into blocks of one size. */
export function blocksOf(region: Uint8Array, blockBytes: number): Uint8Array[] {
  return Array.from({ length: region.length / blockBytes }, (_, block) =>
    region.subarray(block * blockBytes, (block + 1) * blockBytes),
  );
}

/** Changes `runs` runs of `runBytes` bytes in each page, spread evenly, at places that differ from page to page. */
export function changePages(region: Uint8Array, runs: number, runBytes: number): void {
  const stride = Math.floor(PAGE_BYTES / runs);
  for (let page = 0; page * PAGE_BYTES < region.length; page++) {
    const shift = (page * 37) % (stride - runBytes);
    for (let run = 0; run < runs; run++) {
      const start = page * PAGE_BYTES + run * stride + shift;
      for (let at = start; at < start + runBytes; at++) region[at] = (region[at] as number) ^ 0x5a;
    }
  }
}
