import { hasBit } from "../kernel/bitmap.js";
import type { Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import { PageClass } from "../wire/batch.js";

/** Pages that are classified together. Each has a slot of the cache to itself, so none is there twice. */
export class PageChunk {
  /** How many pages there are. */
  count = 0;
  /** The pages as they came; after {@link findFilled} the first ones are those that are not filled. */
  readonly pages: Span;
  /** The numbers of all pages, in the order in which they came. */
  readonly numbers: Uint32Array;

  /** After {@link findFilled}, of each page: `zero`, `fill`, or `novel` where it is neither. */
  readonly classes: Uint8Array;
  /** After it, how many pages are not filled. */
  unfilledCount = 0;
  /** The numbers of those. */
  readonly unfilledNumbers: Uint32Array;

  readonly #kernels: Kernels;
  readonly #pageBytes: number;
  readonly #filled: Span;
  readonly #words: Span;
  /** The last chunk that used each slot. */
  readonly #slotChunks: Uint32Array;
  #chunkNumber = 1;

  /** For at most `maxPages` pages and a cache of `slots` slots: page p has slot p mod `slots`. */
  constructor(kernels: Kernels, maxPages: number, pageBytes: number, slots: number) {
    const { arena } = kernels;
    this.#kernels = kernels;
    this.#pageBytes = pageBytes;
    this.pages = arena.allocatePages(maxPages, pageBytes);
    this.#filled = arena.allocateBitmap(maxPages);
    this.#words = arena.allocate(maxPages * 8);
    this.#slotChunks = new Uint32Array(slots);
    this.numbers = new Uint32Array(maxPages);
    this.classes = new Uint8Array(maxPages);
    this.unfilledNumbers = new Uint32Array(maxPages);
  }

  /** The two halves of the words that fill pages, two numbers a page. */
  get words(): Uint32Array {
    return this.#words.u32;
  }

  /** Copies as many of the pages, from page `done` of `pages` on, as the chunk can take; returns how many. They have the numbers from `firstPage` on. */
  take(firstPage: number, pages: Uint8Array, done: number): number {
    const pageBytes = this.#pageBytes;
    const room = Math.min(pages.length / pageBytes - done, this.numbers.length - this.count);
    const taken = this.#withoutCollision(firstPage, room);
    // A single page, as dirty ones come, needs no view of a part.
    const from =
      taken * pageBytes === pages.length ? pages : pages.subarray(done * pageBytes, (done + taken) * pageBytes);
    this.pages.bytes.set(from, this.count * pageBytes);
    for (let page = 0; page < taken; page++) this.numbers[this.count + page] = firstPage + page;
    this.count += taken;
    return taken;
  }

  /** Finds the pages that one word fills, and moves the others together. */
  findFilled(): void {
    const pageBytes = this.#pageBytes;
    this.#kernels.scan.fill(this.pages.part(0, this.count * pageBytes), pageBytes, this.#filled, this.#words);
    const pages = this.pages.bytes;
    const filled = this.#filled.bytes;
    const words = this.#words.u32;
    let unfilled = 0;
    for (let at = 0; at < this.count; at++) {
      if (hasBit(filled, at)) {
        const isZero = words[2 * at] === 0 && words[2 * at + 1] === 0;
        this.classes[at] = isZero ? PageClass.zero : PageClass.fill;
        continue;
      }
      if (unfilled !== at) pages.copyWithin(unfilled * pageBytes, at * pageBytes, (at + 1) * pageBytes);
      this.classes[at] = PageClass.novel;
      this.unfilledNumbers[unfilled] = this.numbers[at] as number;
      unfilled += 1;
    }
    this.unfilledCount = unfilled;
  }

  clear(): void {
    this.count = 0;
    this.#chunkNumber += 1;
  }

  /** How many of the pages can join before one would share a slot with another, or be there twice. */
  #withoutCollision(firstPage: number, count: number): number {
    const chunks = this.#slotChunks;
    if (chunks.length === 0) return count;
    for (let page = 0; page < count; page++) {
      const slot = (firstPage + page) % chunks.length;
      if (chunks[slot] === this.#chunkNumber) return page;
      chunks[slot] = this.#chunkNumber;
    }
    return count;
  }
}
