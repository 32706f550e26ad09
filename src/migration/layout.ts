import type { Machine, MemoryRegion } from "../guest/guest.js";

/** Is given `pageCount` pages that follow each other in one region, or in the state. */
export type RangeVisitor = (firstPage: number, pageCount: number, isState: boolean) => void;

/**
 * How a machine's regions and its state lie in one row of page numbers: the regions in their order, each from a page of its own, and then the
 * state's pages.
 */
export class MemoryLayout {
  readonly pageBytes: number;
  /** Pages of the memory, without the state's. */
  readonly memoryPages: number;
  /** All pages. */
  readonly pageCount: number;
  /** The page behind each region's last. */
  readonly #ends: readonly number[];

  constructor({ pageBytes, regions }: Pick<Machine, "pageBytes" | "regions">, stateMaxBytes: number) {
    const ends: number[] = [];
    let pages = 0;
    for (const region of regions) {
      pages += pagesOf(region, pageBytes);
      ends.push(pages);
    }
    this.pageBytes = pageBytes;
    this.memoryPages = pages;
    this.pageCount = pages + Math.ceil(stateMaxBytes / pageBytes);
    this.#ends = ends;
  }

  /** Whether two pages of the memory belong to one region. */
  isSameRegion(left: number, right: number): boolean {
    return this.#ends.find((end) => end > left) === this.#ends.find((end) => end > right);
  }

  /** Cuts a range of pages where a region ends. */
  split(firstPage: number, pageCount: number, visit: RangeVisitor): void {
    const end = firstPage + pageCount;
    for (let page = firstPage; page < end; ) {
      const regionEnd = this.#ends.find((candidate) => candidate > page);
      const next = Math.min(end, regionEnd ?? end);
      visit(page, next - page, regionEnd === undefined);
      page = next;
    }
  }
}

/** The pages that a region takes, the last one perhaps in part. */
export function pagesOf(region: MemoryRegion, pageBytes: number): number {
  return Math.ceil(region.byteLength / pageBytes);
}

/** Bytes of all regions. */
export function memoryBytesOf(machine: Pick<Machine, "regions">): number {
  return machine.regions.reduce((sum, region) => sum + region.byteLength, 0);
}
