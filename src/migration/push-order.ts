import { bitmapBytes } from "../kernel/arena.js";
import { clearBits, hasBit, nextSetBit, previousSetBit, setBit } from "../kernel/bitmap.js";
import type { PageRun } from "../wire/page-runs.js";

/** The newest faults whose neighbours are pushed first. */
const MOST_BUBBLES = 8;
/** So far the neighbours of a fault are pushed before others: three times as far behind it as before it, since memory is mostly read forwards. */
const FORWARD_PAGES = 384;
const BACKWARD_PAGES = 128;
/** A bubble grows by so many pages on one side before it is looked at which side is due. */
const STEP_PAGES = 8;

/** Pages of the same heat, in the order in which they came; those before `next` have been looked at. */
interface HotPages {
  readonly pages: number[];
  next: number;
}

/**
 * In which order pages are pushed that nobody has asked for: first the neighbours of the newest faults, as a bubble that grows on both sides; then pages
 * that many rounds found dirty, the hottest first; then all others from the lowest on.
 *
 * The bubbles are those of Hines, Deshpande and Gopalan, "Post-copy live migration of virtual machines" (2009).
 */
export class PushOrder {
  readonly #pageCount: number;
  readonly #pending: Uint8Array;
  readonly #heat: Uint8Array;
  /** The pages of the newest faults, the newest first. Around each, pages may come to wait later. */
  readonly #bubbles: number[] = [];
  /** By their heat; those that were taken otherwise are still among them. */
  readonly #hot: HotPages[] = [];
  /** Below it, nothing waits. */
  #sweep = 0;
  #remaining = 0;

  /** `heat`: of each page, how many rounds found it dirty, as it stands when the page is added. */
  constructor(pageCount: number, heat: Uint8Array) {
    this.#pageCount = pageCount;
    this.#heat = heat;
    this.#pending = new Uint8Array(bitmapBytes(pageCount));
  }

  /** Pages that wait to be pushed. */
  get remaining(): number {
    return this.#remaining;
  }

  /** Whether the page waits to be pushed. */
  has(page: number): boolean {
    return hasBit(this.#pending, page);
  }

  /** Pages that are to be pushed, those of them that do not wait already. */
  add(firstPage: number, pageCount: number): void {
    this.#sweep = Math.min(this.#sweep, firstPage);
    for (let page = firstPage; page < firstPage + pageCount; page++) {
      if (this.has(page)) continue;
      setBit(this.#pending, page);
      this.#remaining += 1;
      const heat = this.#heat[page] as number;
      if (heat === 0) continue;
      while (this.#hot.length <= heat) this.#hot.push({ pages: [], next: 0 });
      this.#hot[heat]?.pages.push(page);
    }
  }

  /** Pages that need not be pushed any more, whether they wait or not. */
  remove(firstPage: number, pageCount: number): void {
    for (let page = firstPage; page < firstPage + pageCount; page++) if (this.has(page)) this.#remaining -= 1;
    clearBits(this.#pending, firstPage, pageCount);
  }

  /** A fault came here. */
  pivot(page: number): void {
    this.#bubbles.unshift(page);
    this.#bubbles.splice(MOST_BUBBLES);
  }

  /** The next pages, at most so many; they wait no longer. Undefined where none do. */
  take(maxPages: number): PageRun | undefined {
    if (this.#remaining === 0) return undefined;
    const run = this.#neighbours(maxPages) ?? this.#hottest(maxPages) ?? this.#lowest(maxPages);
    this.remove(run.firstPage, run.pageCount);
    return run;
  }

  #neighbours(maxPages: number): PageRun | undefined {
    const most = Math.min(maxPages, STEP_PAGES);
    for (const middle of this.#bubbles) {
      const end = Math.min(this.#pageCount, middle + FORWARD_PAGES);
      const right = nextSetBit(this.#pending, end, middle);
      const left = previousSetBit(this.#pending, Math.max(0, middle - BACKWARD_PAGES), middle);
      const isRightNearer = (right - middle) * BACKWARD_PAGES <= (middle - left) * FORWARD_PAGES;
      if (right < end && (left < 0 || isRightNearer)) return this.#runFrom(right, end, most);
      if (left >= 0) return this.#runTo(left, most);
    }
    return undefined;
  }

  #hottest(maxPages: number): PageRun | undefined {
    for (let hot = this.#hot.at(-1); hot !== undefined; hot = this.#hot.at(-1)) {
      const heat = this.#hot.length - 1;
      while (hot.next < hot.pages.length) {
        const firstPage = hot.pages[hot.next++] as number;
        if (!this.has(firstPage)) continue;
        const limit = Math.min(this.#pageCount, firstPage + maxPages);
        let end = firstPage + 1;
        while (end < limit && this.#heat[end] === heat) end += 1;
        return this.#runFrom(firstPage, end, maxPages);
      }
      this.#hot.pop();
    }
    return undefined;
  }

  #lowest(maxPages: number): PageRun {
    this.#sweep = nextSetBit(this.#pending, this.#pageCount, this.#sweep);
    return this.#runFrom(this.#sweep, this.#pageCount, maxPages);
  }

  /** Pages that wait, from this one on. */
  #runFrom(firstPage: number, end: number, most: number): PageRun {
    const limit = Math.min(end, firstPage + most);
    let last = firstPage;
    while (last + 1 < limit && this.has(last + 1)) last += 1;
    return { firstPage, pageCount: last + 1 - firstPage };
  }

  /** Pages that wait, up to this one. */
  #runTo(lastPage: number, most: number): PageRun {
    let first = lastPage;
    while (first > 0 && lastPage + 1 - first < most && this.has(first - 1)) first -= 1;
    return { firstPage: first, pageCount: lastPage + 1 - first };
  }
}
