import type { Arena } from "../kernel/arena.js";
import type { Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";

/** The owner of a slot that holds nothing: above every page's number, and not what a dedup table says where it finds nothing. */
const NO_PAGE = 0xffff_fffe;

/**
 * A bounded cache of pages as they were sent last. Page p has one place in it, slot p mod slots (QEMU's XBZRLE cache is laid out so too), and
 * the page that was sent last takes the slot; so two ends that process the same pages in the same order hold the same, without a word about it.
 * With as many slots as pages nothing is ever displaced.
 */
export class PageCache {
  readonly slots: number;
  /** The pages in the slots. */
  readonly pages: Span;
  readonly #arena: Arena;
  readonly #owners: Uint32Array;
  readonly #pageBytes: number;

  /** A cache for `pageCount` pages in at most `cacheBytes` bytes, in the kernels' arena. */
  constructor(kernels: Kernels, pageCount: number, pageBytes: number, cacheBytes: number) {
    this.#arena = kernels.arena;
    this.slots = Math.min(pageCount, Math.floor(cacheBytes / pageBytes));
    this.pages = this.#arena.allocatePages(this.slots, pageBytes);
    this.#owners = new Uint32Array(this.slots).fill(NO_PAGE);
    this.#pageBytes = pageBytes;
  }

  slotOf(page: number): number {
    return page % this.slots;
  }

  /** Whether some page has the slot. */
  isTaken(slot: number): boolean {
    return this.#owners[slot] !== NO_PAGE;
  }

  /** The page that has the slot. */
  ownerOf(slot: number): number {
    return this.#owners[slot] as number;
  }

  holds(page: number): boolean {
    return this.slots > 0 && this.#owners[page % this.slots] === page;
  }

  /** Puts pages that follow each other into their slots: those from byte `fromByte` of `from` on. */
  put(firstPage: number, count: number, from: Span, fromByte: number): void {
    if (this.slots === 0) return;
    const pageBytes = this.#pageBytes;
    for (let done = 0; done < count; ) {
      const slot = (firstPage + done) % this.slots;
      const run = Math.min(count - done, this.slots - slot);
      for (let page = 0; page < run; page++) this.#owners[slot + page] = firstPage + done + page;
      this.#arena.copy(from, fromByte + done * pageBytes, this.pages, slot * pageBytes, run * pageBytes);
      done += run;
    }
  }

  /** Empties the first `count` of the slots. */
  empty(slots: Uint32Array, count: number): void {
    for (let at = 0; at < count; at++) this.#owners[slots[at] as number] = NO_PAGE;
  }

  /** Empties the page's slot if the page has it. */
  forget(page: number): void {
    if (this.holds(page)) this.#owners[page % this.slots] = NO_PAGE;
  }
}
