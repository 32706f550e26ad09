import type { Span } from "../../src/index.js";

/** Every page size that the kernels take. */
export const PAGE_SIZES: readonly number[] = [1024, 2048, 4096, 8192, 16384, 32768, 65536];

/** The first `count` bits of a bitmap. */
export function bits(bitmap: Span, count: number): boolean[] {
  const { bytes } = bitmap;
  return Array.from({ length: count }, (_, bit) => (((bytes[bit >> 3] as number) >> (bit & 7)) & 1) === 1);
}
