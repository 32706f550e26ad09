import { type Arena, bitmapBytes } from "./arena.js";
import { checkPageBytes } from "./check.js";
import type { KernelExports } from "./exports.js";
import type { Span } from "./span.js";

/** How many whole pages a span holds. */
export function pageCountOf(pages: Span, pageBytes: number): number {
  checkPageBytes(pageBytes);
  return Math.floor(pages.byteLength / pageBytes);
}

/**
 * Finds pages by one pass over memory. Each call covers the whole pages of its first span and answers in a bitmap: bit i (bit i % 8 of
 * byte i / 8) stands for page i.
 */
export class ScanKernels {
  readonly #exports: KernelExports;
  readonly #arena: Arena;

  constructor(exports: KernelExports, arena: Arena) {
    this.#exports = exports;
    this.#arena = arena;
  }

  /** Sets the bits of the pages that are all zero; returns how many. */
  zero(pages: Span, pageBytes: number, bitmap: Span): number {
    const pageCount = pageCountOf(pages, pageBytes);
    return this.#exports.scanZero(
      this.#arena.pointer("pages", pages, 0),
      pageCount,
      pageBytes,
      this.#arena.output("bitmap", bitmap, bitmapBytes(pageCount), pages),
    );
  }

  /**
   * Sets the bits of the pages that are one 64-bit word repeated (zero pages too) and puts that word into `words` (8 bytes a page, little-endian;
   * 0 for other pages); returns how many.
   */
  fill(pages: Span, pageBytes: number, bitmap: Span, words: Span): number {
    const pageCount = pageCountOf(pages, pageBytes);
    return this.#exports.scanFill(
      this.#arena.pointer("pages", pages, 0),
      pageCount,
      pageBytes,
      this.#arena.output("bitmap", bitmap, bitmapBytes(pageCount), pages, words),
      this.#arena.output("words", words, pageCount * 8, pages),
    );
  }

  /** Sets the bits of the pages that differ between two copies; returns how many. */
  compare(left: Span, right: Span, pageBytes: number, bitmap: Span): number {
    const pageCount = pageCountOf(left, pageBytes);
    return this.#exports.scanCompare(
      this.#arena.pointer("left", left, 0),
      this.#arena.pointer("right", right, pageCount * pageBytes),
      pageCount,
      pageBytes,
      this.#arena.output("bitmap", bitmap, bitmapBytes(pageCount), left, right),
    );
  }
}
