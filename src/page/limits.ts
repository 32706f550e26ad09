import { MAX_PAGE_BYTES, MIN_PAGE_BYTES } from "../kernel/check.js";
import { PageError } from "./errors.js";

/** Pages are classified in chunks of so many bytes, which stay in a core's second-level cache. */
const CHUNK_BYTES = 256 << 10;

/** How many pages are classified together. */
export function chunkPagesOf(pageBytes: number): number {
  return CHUNK_BYTES / pageBytes;
}

/** A cache for all pages where they fit into `mostBytes`, and never smaller than a chunk. */
export function fittingCacheBytes({ pageBytes, pageCount }: PageSpace, mostBytes: number): number {
  return Math.max(CHUNK_BYTES, Math.min(pageBytes * pageCount, mostBytes));
}

/** What both ends must agree on. */
export interface PageSpace {
  /** Bytes of a page: a power of two from 1 to 64 KiB. */
  readonly pageBytes: number;
  /** Pages are numbered from 0 to pageCount − 1. */
  readonly pageCount: number;
}

/** Throws `argument` where the space of pages or the cache for it is not one. */
export function checkPageSpace({ pageBytes, pageCount }: PageSpace, cacheBytes: number): void {
  checkNumber("pageBytes", pageBytes, MIN_PAGE_BYTES, MAX_PAGE_BYTES);
  if ((pageBytes & (pageBytes - 1)) !== 0) {
    throw new PageError("argument", `pageBytes must be a power of two, not ${pageBytes}.`);
  }
  checkNumber("pageCount", pageCount, 0, 0xffff_fffe);
  if (cacheBytes !== 0) checkNumber("cacheBytes (where it is not 0)", cacheBytes, CHUNK_BYTES, Number.MAX_SAFE_INTEGER);
}

/** Throws `argument` unless `value` is a whole number from `minimum` to `maximum`. */
export function checkNumber(name: string, value: number, minimum: number, maximum: number): void {
  if (!Number.isSafeInteger(value) || value < minimum || value > maximum) {
    throw new PageError("argument", `${name} must be a whole number from ${minimum} to ${maximum}, not ${value}.`);
  }
}
