import { clearBits, hasBit, nextSetBit, setBits } from "../kernel/bitmap.js";
import type { PageRun } from "../wire/page-runs.js";

/** The newest faults whose neighbours are pushed. */
const MOST_PIVOTS = 8;
/** So far around a fault its neighbours are pushed, unless there are new ones. */
const BUBBLE_PAGES = 512;
/** Neighbours behind a fault to one before it: memory is mostly read forwards. */
const FORWARD_SHARE = 3;

/** A fault, and how far its neighbours have been pushed. */
interface Pivot {
  left: number;
  right: number;
  given: number;
  turn: number;
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
  readonly #pivots: Pivot[] = [];
  /** The hot pages among the pending ones by their heat; those that were taken meanwhile are passed over. */
  readonly #hot: number[][] = [];
  #sweep = 0;
  #remaining = 0;

  /** `heat`: of each page, how many rounds found it dirty. */
  constructor(pageCount: number, heat: Uint8Array) {
    this.#pageCount = pageCount;
    this.#heat = heat;
    this.#pending = new Uint8Array(Math.ceil(pageCount / 8));
  }

  /** Pages that wait to be pushed. */
  get remaining(): number {
    return this.#remaining;
  }

  has(page: number): boolean {
    return hasBit(this.#pending, page);
  }

  /** Pages that are to be pushed; none of them may wait already. */
  add(firstPage: number, pageCount: number): void {
    setBits(this.#pending, firstPage, pageCount);
    this.#remaining += pageCount;
    this.#sweep = Math.min(this.#sweep, firstPage);
    for (let page = firstPage; page < firstPage + pageCount; page++) {
      const heat = this.#heat[page] as number;
      if (heat === 0) continue;
      this.#hot[heat] ??= [];
      this.#hot[heat].push(page);
    }
  }

  /** Pages that need not be pushed any more, whether they wait or not. */
  remove(firstPage: number, pageCount: number): void {
    for (let page = firstPage; page < firstPage + pageCount; page++) if (this.has(page)) this.#remaining -= 1;
    clearBits(this.#pending, firstPage, pageCount);
  }

  /** A fault came here. */
  pivot(page: number): void {
    this.#pivots.unshift({ left: page - 1, right: page, given: 0, turn: 0 });
    this.#pivots.splice(MOST_PIVOTS);
  }

  /** The next pages, at most so many; they wait no longer. Undefined where none do. */
  take(maxPages: number): PageRun | undefined {
    if (this.#remaining === 0) return undefined;
    const run = this.#neighbours(maxPages) ?? this.#hottest() ?? this.#next(maxPages);
    this.remove(run.firstPage, run.pageCount);
    return run;
  }

  #neighbours(maxPages: number): PageRun | undefined {
    for (let pivot = this.#pivots[0]; pivot !== undefined; pivot = this.#pivots[0]) {
      const run = pivot.given < BUBBLE_PAGES ? this.#grow(pivot, maxPages) : undefined;
      if (run !== undefined) return run;
      this.#pivots.shift();
    }
    return undefined;
  }

  #grow(pivot: Pivot, maxPages: number): PageRun | undefined {
    const end = Math.min(pivot.right + BUBBLE_PAGES, this.#pageCount);
    const right = nextSetBit(this.#pending, end, pivot.right);
    let left = pivot.left;
    const least = Math.max(0, left - BUBBLE_PAGES);
    while (left >= least && !this.has(left)) left -= 1;
    const isLeft = left >= least && left >= 0;
    if (right >= end && !isLeft) return undefined;
    pivot.turn += 1;
    if (right < end && (!isLeft || pivot.turn % (FORWARD_SHARE + 1) !== 0)) {
      const pageCount = this.#runLength(right, Math.min(maxPages, BUBBLE_PAGES - pivot.given));
      pivot.right = right + pageCount;
      pivot.given += pageCount;
      return { firstPage: right, pageCount };
    }
    pivot.left = left - 1;
    pivot.given += 1;
    return { firstPage: left, pageCount: 1 };
  }

  #hottest(): PageRun | undefined {
    while (this.#hot.length > 0) {
      for (let page = this.#hot.at(-1)?.pop(); page !== undefined; page = this.#hot.at(-1)?.pop()) {
        if (this.has(page)) return { firstPage: page, pageCount: 1 };
      }
      this.#hot.pop();
    }
    return undefined;
  }

  #next(maxPages: number): PageRun {
    const firstPage = nextSetBit(this.#pending, this.#pageCount, this.#sweep);
    this.#sweep = firstPage;
    return { firstPage, pageCount: this.#runLength(firstPage, maxPages) };
  }

  #runLength(firstPage: number, most: number): number {
    let length = 1;
    while (length < most && firstPage + length < this.#pageCount && this.has(firstPage + length)) length += 1;
    return length;
  }
}
