import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { DedupTable } from "../kernel/dedup.js";
import { FINGERPRINT_BYTES } from "../kernel/fingerprint.js";
import { createKernels, type Kernels } from "../kernel/load.js";
import { lz4Bound } from "../kernel/lz4.js";
import type { Span } from "../kernel/span.js";

const PAGE_BYTES = 4096;
const WINDOW_PAGES = 1024;
const LZ4_BLOCK_BYTES = 256 * 1024;

/** What a memory image consists of, in pages of 4 KiB; a last piece of a page counts as one, filled up with zeros. */
export interface ImageSummary {
  readonly pages: number;
  readonly zeroPages: number;
  /** One 64-bit word repeated, not zero. */
  readonly fillPages: number;
  /** Equal (by a seeded 128-bit fingerprint) to an earlier page that is neither zero nor filled. */
  readonly duplicatePages: number;
  /** All pages as LZ4 blocks of 256 KiB. */
  readonly lz4Bytes: number;
}

/** Reads an image once, in windows of 4 MiB. */
export async function inspectImage(path: string): Promise<ImageSummary> {
  const file = openSync(path, "r");
  try {
    const pages = Math.ceil(fstatSync(file).size / PAGE_BYTES);
    return new Inspection(await createKernels(), pages).run(file);
  } finally {
    closeSync(file);
  }
}

class Inspection {
  readonly #kernels: Kernels;
  readonly #pages: number;
  readonly #window: Span;
  readonly #bitmap: Span;
  readonly #fillWords: Span;
  readonly #secret: Span;
  readonly #fingerprints: Span;
  readonly #filled: Span;
  readonly #pageNumbers: Span;
  readonly #block: Span;
  readonly #lz4State: Span;
  readonly #seen: DedupTable;

  constructor(kernels: Kernels, pages: number) {
    const { arena } = kernels;
    this.#kernels = kernels;
    this.#pages = pages;
    this.#window = arena.allocatePages(WINDOW_PAGES, PAGE_BYTES);
    this.#bitmap = arena.allocateBitmap(WINDOW_PAGES);
    this.#fillWords = arena.allocate(WINDOW_PAGES * 8);
    this.#secret = kernels.fingerprint.secret(crypto.getRandomValues(new BigUint64Array(1))[0] as bigint);
    this.#fingerprints = arena.allocate(WINDOW_PAGES * FINGERPRINT_BYTES);
    this.#filled = arena.allocate(WINDOW_PAGES * 4);
    this.#pageNumbers = arena.allocate(WINDOW_PAGES * 4);
    this.#block = arena.allocate(lz4Bound(LZ4_BLOCK_BYTES));
    this.#lz4State = kernels.lz4.state();
    this.#seen = kernels.dedup.table(Math.max(1, pages));
  }

  run(file: number): ImageSummary {
    let [zeroPages, allFillPages, distinctPages, lz4Bytes] = [0, 0, 0, 0];
    for (let first = 0; first < this.#pages; first += WINDOW_PAGES) {
      const count = Math.min(WINDOW_PAGES, this.#pages - first);
      this.#read(file, first * PAGE_BYTES);
      const { arena, scan } = this.#kernels;
      const window = arena.spanOf(this.#window.bytes.subarray(0, count * PAGE_BYTES));
      zeroPages += scan.zero(window, PAGE_BYTES, this.#bitmap);
      allFillPages += scan.fill(window, PAGE_BYTES, this.#bitmap, this.#fillWords);
      distinctPages += this.#countDistinct(window, count, first);
      lz4Bytes += this.#compress(count * PAGE_BYTES);
    }
    return {
      pages: this.#pages,
      zeroPages,
      fillPages: allFillPages - zeroPages,
      duplicatePages: this.#pages - allFillPages - distinctPages,
      lz4Bytes,
    };
  }

  #read(file: number, position: number): void {
    const { bytes } = this.#window;
    let filled = 0;
    while (filled < bytes.length) {
      const got = readSync(file, bytes, filled, bytes.length - filled, position + filled);
      if (got === 0) break;
      filled += got;
    }
    bytes.fill(0, filled);
  }

  /** How many pages of the window are the first of their content; expects the bitmap of the filled ones. */
  #countDistinct(window: Span, count: number, first: number): number {
    const { bitmap, fingerprint } = this.#kernels;
    const before = this.#seen.size;
    fingerprint.pages(window, PAGE_BYTES, this.#secret, this.#fingerprints);
    const filled = bitmap.expand(this.#bitmap, count, this.#filled);
    const words = this.#fingerprints.u64;
    // An all-zero fingerprint is one that the table does not hold.
    for (const page of this.#filled.u32.subarray(0, filled)) words.fill(0n, page * 2, page * 2 + 2);
    const numbers = this.#pageNumbers.u32;
    for (let page = 0; page < count; page++) numbers[page] = first + page;
    this.#seen.insert(this.#fingerprints, this.#pageNumbers, count);
    return this.#seen.size - before;
  }

  #compress(bytes: number): number {
    const { arena, lz4 } = this.#kernels;
    let compressed = 0;
    for (let at = 0; at < bytes; at += LZ4_BLOCK_BYTES) {
      const length = Math.min(LZ4_BLOCK_BYTES, bytes - at);
      const block = arena.spanOf(this.#window.bytes.subarray(at, at + length));
      compressed += lz4.compress(block, length, this.#block, this.#lz4State);
    }
    return compressed;
  }
}
