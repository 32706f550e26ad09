import type { Guest } from "../guest/guest.js";
import { nextTurn } from "../guest/turn.js";
import { bitmapBytes } from "../kernel/arena.js";
import { hasBit, setBits } from "../kernel/bitmap.js";
import type { PageEncoder } from "../page/encoder.js";
import { PageClass } from "../wire/batch.js";
import { decodePageRuns, type PageRun } from "../wire/page-runs.js";
import type { MemoryLayout } from "./layout.js";
import { PageRuns, visitRunsWhere } from "./page-runs.js";
import { PushOrder } from "./push-order.js";
import type { PushWindow } from "./push-window.js";
import type { DirtyScanner, VisitedWindow } from "./scanner.js";

/** The most pages in one answer: what else is waited for stands behind it. */
const MOST_ANSWERED_PAGES = 64;
/** Pages that go along with one that is asked for before the machine runs. */
const PAGES_AHEAD = 7;
/** The most bytes of memory that are pushed in one batch. */
const MOST_PUSHED_BYTES = 256 << 10;
/** Called clean together, as long as nobody waits. */
const MANY_RUNS = 64;
/** The weight of the newest batch in what a page is expected to take. */
const NEWEST = 0.3;

/** What a server needs of the source. */
export interface ServedMachine {
  readonly guest: Guest;
  readonly layout: MemoryLayout;
  readonly scanner: DirtyScanner;
  readonly encoder: PageEncoder;
  readonly window: PushWindow;
  /** Of each page: how many rounds found it dirty. */
  readonly heat: Uint8Array;
  /** Sends the batches that the encoder has finished; resolves when more may be sent. */
  sendBatches(): Promise<void>;
  sendClean(runs: readonly PageRun[]): Promise<void>;
  /** Waits for something, as long as nothing fails. */
  guard(promise: Promise<void>): Promise<void>;
  onProgress(settledPages: number): void;
}

/** How the pages of a machine that runs elsewhere came to it. */
export interface ServedPages {
  /** Requests of the destination, each for one stretch of pages. */
  readonly requests: number;
  /** Pages that were sent because they were asked for. */
  readonly requested: number;
  /** Pages that were sent before they were asked for. */
  readonly pushed: number;
  /** Pages that did not travel any more: the destination held them, just so. */
  readonly clean: number;
}

/**
 * The memory of a paused machine that runs elsewhere: answers what the machine there waits for, and pushes everything else behind it. Nobody knows
 * yet which pages the destination holds as they are; that is found out here, page by page for those that are asked for. Each page is sent or
 * called clean once.
 */
export class PageServer {
  readonly #machine: ServedMachine;
  readonly #pageBytes: number;
  readonly #buffer: Uint8Array;
  /** Pages that were sent or called clean. */
  readonly #settled: Uint8Array;
  /** Pages that are known to be stale at the destination. */
  readonly #order: PushOrder;
  /** Pages that are asked for and wait to be answered; `#asked` has their bits. */
  readonly #requests: PageRun[] = [];
  readonly #asked: Uint8Array;
  readonly #clean = new PageRuns();
  readonly #windows: AsyncGenerator<VisitedWindow, void, void>;
  #isScanned = false;
  #isPushing = false;
  /** Whether something has happened since it was looked what is to be done. */
  #hasNews = false;
  #wake: () => void = () => {};
  #settledPages = 0;
  #bytesPerPage: number;
  #requestCount = 0;
  #requested = 0;
  #pushed = 0;
  #cleanPages = 0;

  constructor(machine: ServedMachine) {
    const { layout, scanner, heat } = machine;
    const { memoryPages, pageBytes } = layout;
    this.#machine = machine;
    this.#pageBytes = pageBytes;
    this.#bytesPerPage = pageBytes;
    this.#buffer = new Uint8Array(machine.guest.inPlace === undefined ? MOST_PUSHED_BYTES : 0);
    this.#settled = new Uint8Array(bitmapBytes(memoryPages));
    this.#asked = new Uint8Array(bitmapBytes(memoryPages));
    this.#order = new PushOrder(memoryPages, heat);
    // Without threads: they would be at work on pages that are asked for meanwhile.
    this.#windows = scanner.scanRound(true, (first, pages) => this.#foundStale(first, pages.length / pageBytes));
  }

  get served(): ServedPages {
    return {
      requests: this.#requestCount,
      requested: this.#requested,
      pushed: this.#pushed,
      clean: this.#cleanPages,
    };
  }

  /** Takes a request. Throws `message-malformed`. */
  wanted(body: Uint8Array): void {
    for (const { firstPage, pageCount } of decodePageRuns(body, this.#machine.layout.memoryPages)) {
      this.#requestCount += 1;
      // What has been asked for is on its way, or next: so what is kept here is bounded, whatever a destination asks.
      visitRunsWhere(
        { firstPage, pageCount },
        (page) => !this.#isSettled(page) && !hasBit(this.#asked, page),
        (run) => {
          setBits(this.#asked, run.firstPage, run.pageCount);
          this.#requests.push(run);
        },
      );
    }
    this.#notice();
  }

  /** So many bytes of batches have been taken in. */
  confirmed(bytes: number): void {
    this.#machine.window.confirmed(bytes, performance.now());
    this.#notice();
  }

  /** Hears of pages as they were encoded: one that turned out to be at the destination already is not in the batch. */
  encoded(pages: Uint32Array, classes: Uint8Array): void {
    for (let at = 0; at < pages.length; at++) {
      if (classes[at] === PageClass.same) this.#clean.add(pages[at] as number, 1);
    }
  }

  /** From now on pages are pushed too: the machine runs. */
  startPushing(): void {
    this.#isPushing = true;
    this.#notice();
  }

  /** Serves until every page was sent or called clean. */
  async run(): Promise<void> {
    const { window, guard } = this.#machine;
    for (;;) {
      this.#hasNews = false;
      if (this.#requests.length > 0) await this.#answer();
      else if (this.#isPushing && this.#order.remaining > 0 && window.room > 0) await this.#push();
      else if (this.#isPushing && !this.#isScanned) await this.#scan();
      else if (this.#isScanned && this.#order.remaining === 0) break;
      else await guard(this.#news());
    }
    await this.#sendClean(1);
  }

  async #answer(): Promise<void> {
    const { firstPage, pageCount } = this.#requests[0] as PageRun;
    const count = Math.min(pageCount, MOST_ANSWERED_PAGES);
    if (count === pageCount) this.#requests.shift();
    else this.#requests[0] = { firstPage: firstPage + count, pageCount: pageCount - count };
    const before = this.#settledPages - this.#cleanPages;
    // Nothing is pushed yet while devices are loaded, which read on: the next pages go along.
    const ahead = this.#isPushing ? 0 : PAGES_AHEAD;
    visitRunsWhere(
      { firstPage, pageCount: Math.min(count + ahead, this.#machine.layout.memoryPages - firstPage) },
      (page) => !this.#isSettled(page),
      (run) => this.#settle(run),
    );
    this.#requested += this.#settledPages - this.#cleanPages - before;
    this.#order.pivot(firstPage);
    await this.#send();
    await this.#sendClean(1);
  }

  /** Sends pages, none of which has been, or calls them clean. */
  #settle({ firstPage, pageCount }: PageRun): void {
    const { scanner, encoder } = this.#machine;
    visitRunsWhere(
      { firstPage, pageCount },
      (page) => this.#order.has(page),
      (run) => this.#addStale(run),
    );
    visitRunsWhere(
      { firstPage, pageCount },
      (page) => !this.#isSettled(page),
      (run) => {
        scanner.scanPages(run.firstPage, run.pageCount, (first, pages) => {
          encoder.add(first, pages);
          this.#markSettled(first, pages.length / this.#pageBytes);
        });
      },
    );
    visitRunsWhere(
      { firstPage, pageCount },
      (page) => !this.#isSettled(page),
      (run) => this.#callClean(run),
    );
  }

  async #push(): Promise<void> {
    const { window } = this.#machine;
    const most = Math.min(Math.floor(window.batchBytes / this.#bytesPerPage), MOST_PUSHED_BYTES / this.#pageBytes);
    let pages = 0;
    while (pages < Math.max(1, most)) {
      const run = this.#order.take(Math.max(1, most) - pages);
      if (run === undefined) break;
      this.#addStale(run);
      pages += run.pageCount;
    }
    this.#pushed += pages;
    const bytes = await this.#send();
    const perPage = Math.max(1, bytes / pages);
    this.#bytesPerPage += NEWEST * (perPage - this.#bytesPerPage);
    await this.#sendClean(MANY_RUNS);
    await nextTurn();
  }

  /** Scans the next window. */
  async #scan(): Promise<void> {
    const { value: window, done } = await this.#windows.next();
    const { memoryPages } = this.#machine.layout;
    // What was passed over as a whole is clean too.
    const [first, count] = done === true ? [0, memoryPages] : [window.firstPage, window.pageCount];
    visitRunsWhere(
      { firstPage: first, pageCount: count },
      (page) => !this.#isSettled(page) && !this.#order.has(page),
      (run) => this.#callClean(run),
    );
    this.#isScanned = done === true;
    this.#machine.onProgress(this.#settledPages);
    await this.#sendClean(this.#isScanned ? 1 : MANY_RUNS);
    await nextTurn();
  }

  #foundStale(firstPage: number, pageCount: number): void {
    visitRunsWhere(
      { firstPage, pageCount },
      (page) => !this.#isSettled(page),
      (run) => {
        this.#order.add(run.firstPage, run.pageCount);
      },
    );
  }

  #addStale({ firstPage, pageCount }: PageRun): void {
    const { guest, layout, encoder } = this.#machine;
    layout.split(firstPage, pageCount, (first, count) => {
      const most = MOST_PUSHED_BYTES / this.#pageBytes;
      for (let page = first; page < first + count; page += most) {
        const part = Math.min(most, first + count - page);
        const pages = guest.inPlace?.view(page, part) ?? this.#buffer.subarray(0, part * this.#pageBytes);
        if (guest.inPlace === undefined) guest.readPages(page, pages);
        encoder.add(page, pages);
      }
    });
    this.#order.remove(firstPage, pageCount);
    this.#markSettled(firstPage, pageCount);
  }

  #callClean({ firstPage, pageCount }: PageRun): void {
    this.#clean.add(firstPage, pageCount);
    this.#cleanPages += pageCount;
    this.#markSettled(firstPage, pageCount);
  }

  #markSettled(firstPage: number, pageCount: number): void {
    setBits(this.#settled, firstPage, pageCount);
    this.#settledPages += pageCount;
  }

  #isSettled(page: number): boolean {
    return hasBit(this.#settled, page);
  }

  /** Sends what has been added; returns how many bytes it took. */
  async #send(): Promise<number> {
    const { encoder, window, sendBatches, onProgress } = this.#machine;
    const before = encoder.encoded.encodedBytes;
    encoder.flush();
    const { encodedBytes } = encoder.encoded;
    window.sent(encodedBytes, performance.now());
    await sendBatches();
    onProgress(this.#settledPages);
    return encodedBytes - before;
  }

  async #sendClean(least: number): Promise<void> {
    if (this.#clean.count >= least) await this.#machine.sendClean(this.#clean.take());
  }

  #notice(): void {
    this.#hasNews = true;
    this.#wake();
  }

  async #news(): Promise<void> {
    await this.#sendClean(1);
    if (this.#hasNews) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
