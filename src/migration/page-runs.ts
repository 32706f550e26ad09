import type { PageRun } from "../wire/page-runs.js";

/** Visits the stretches of pages, among those from `firstPage` on, all of whose pages are wanted. */
export function visitRunsWhere(
  { firstPage, pageCount }: PageRun,
  isWanted: (page: number) => boolean,
  visit: (run: PageRun) => void,
): void {
  const end = firstPage + pageCount;
  for (let page = firstPage; page < end; page++) {
    if (!isWanted(page)) continue;
    const first = page;
    while (page < end && isWanted(page)) page++;
    visit({ firstPage: first, pageCount: page - first });
  }
}

/** Collects pages; those that follow each other become one run. */
export class PageRuns {
  #runs: PageRun[] = [];

  /** How many runs there are. */
  get count(): number {
    return this.#runs.length;
  }

  add(firstPage: number, pageCount: number): void {
    const last = this.#runs.at(-1);
    if (last !== undefined && last.firstPage + last.pageCount === firstPage) {
      this.#runs[this.#runs.length - 1] = { firstPage: last.firstPage, pageCount: last.pageCount + pageCount };
    } else {
      this.#runs.push({ firstPage, pageCount });
    }
  }

  /** All runs, in the order in which they came; there are none afterwards. */
  take(): readonly PageRun[] {
    const runs = this.#runs;
    this.#runs = [];
    return runs;
  }
}
