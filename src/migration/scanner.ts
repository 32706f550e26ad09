import type { Guest, ScannedWindow, ScanThreads } from "../guest/guest.js";
import { nextTurn } from "../guest/turn.js";
import { bitmapBytes } from "../kernel/arena.js";
import { hasBit, nextSetBit, setBit, setBits } from "../kernel/bitmap.js";
import { FINGERPRINT_BYTES } from "../kernel/fingerprint.js";
import { createKernels, type Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import { zeroFingerprints } from "./fingerprints.js";
import type { MemoryLayout } from "./layout.js";

/** Memory is scanned in windows of so many bytes: a turn of the event loop goes by for each. */
const WINDOW_BYTES = 1 << 20;
/** To have a window scanned on another thread costs some 50 µs: these are larger. */
const THREAD_WINDOW_BYTES = 4 << 20;
/** Scratch for scanning in place: the secret, and a window's fingerprints and bitmap at the smallest page size, and their alignment. */
const SCRATCH_BYTES = 64 << 10;
/** Logged pages that stand nearer to each other are scanned together. */
const NEAR_PAGES = 8;

/** Is given pages that changed, which follow each other; the bytes hold until it returns. */
export type DirtyVisitor = (firstPage: number, pages: Uint8Array) => void;

/** Pages of one region that are scanned together. */
interface Window {
  readonly firstPage: number;
  readonly pageCount: number;
}

/** A window that has been scanned, and its dirty pages visited. */
export interface VisitedWindow extends Window {
  readonly dirty: number;
}

/**
 * Finds the pages of a guest that are not what the destination holds, by their fingerprints: 16 bytes a page instead of a second copy. Scans a
 * guest's memory where it is, or reads it window by window, on threads of the guest's where it has some; where the guest logs writes, only
 * what was written.
 */
export class DirtyScanner {
  /** Fingerprints of what the destination holds, once it has been sent what was visited. */
  readonly fingerprints: Uint8Array;
  /** How long this round's scan has taken so far, without the visits. */
  scanMs = 0;
  /** How many times as fast a scan is when the guest stands still, and its cores are free. */
  readonly pausedSpeedup: number;
  readonly #windowPages: number;
  readonly #guest: Guest;
  readonly #layout: MemoryLayout;
  readonly #kernels: Kernels;
  readonly #secret: Span;
  readonly #window: Span | undefined;
  readonly #windowFingerprints: Span;
  readonly #bitmap: Span;
  readonly #threads: ScanThreads | undefined;
  #log: Uint8Array | undefined;
  /** Where the guest tells what is allocated: pages of which the destination holds something else than zeros, or did. */
  #held: Uint8Array | undefined;

  private constructor(
    guest: Guest,
    layout: MemoryLayout,
    kernels: Kernels,
    seed: string,
    fingerprints: Uint8Array,
    threads: ScanThreads | undefined,
  ) {
    const { arena } = kernels;
    const { pageBytes } = layout;
    this.#guest = guest;
    this.#layout = layout;
    this.#kernels = kernels;
    this.#threads = threads;
    this.fingerprints = threads?.fingerprints ?? fingerprints;
    if (threads !== undefined) this.fingerprints.set(fingerprints);
    this.pausedSpeedup = 1 + (threads?.count ?? 0);
    this.#windowPages = WINDOW_BYTES / pageBytes;
    const mostPages = (threads === undefined ? WINDOW_BYTES : THREAD_WINDOW_BYTES) / pageBytes;
    this.#secret = kernels.fingerprint.secret(BigInt(`0x${seed}`));
    this.#windowFingerprints = arena.allocate(this.#windowPages * FINGERPRINT_BYTES);
    this.#bitmap = arena.allocateBitmap(mostPages);
    this.#window = guest.inPlace === undefined ? arena.allocatePages(this.#windowPages, pageBytes) : undefined;
  }

  /** A scanner of a guest, of whose memory the destination holds what `fingerprints` say. */
  static async create(
    guest: Guest,
    layout: MemoryLayout,
    seed: string,
    fingerprints: Uint8Array,
  ): Promise<DirtyScanner> {
    const { inPlace } = guest;
    const kernels = await createKernels(
      inPlace === undefined ? {} : { inPlace: { memory: inPlace.memory, scratch: inPlace.scratch(SCRATCH_BYTES) } },
    );
    const threads = await guest.startScanThreads?.(seed, THREAD_WINDOW_BYTES / layout.pageBytes);
    const scanner = new DirtyScanner(guest, layout, kernels, seed, fingerprints, threads);
    if (guest.markAllocatedPages !== undefined) {
      const zero = zeroFingerprints(kernels, seed, layout.pageBytes, 1);
      scanner.#held = heldPages(fingerprints, zero);
    }
    return scanner;
  }

  /**
   * Scans all memory once and visits the pages that changed; yields after every window, in any order. Where the guest runs, its own threads want
   * the cores: the guest's scan threads help only when it stands still.
   */
  async *scanRound(isRunning: boolean, visit: DirtyVisitor): AsyncGenerator<VisitedWindow, void, void> {
    this.scanMs = 0;
    this.#beginRound();
    if (this.#threads === undefined || isRunning) yield* this.#scanHere(this.#windows(this.#windowPages), visit);
    else yield* this.#scanWithThreads(this.#threads, visit);
  }

  /** Scans some pages and visits those that changed, between two windows of a round that no threads take part in. */
  scanPages(firstPage: number, pageCount: number, visit: DirtyVisitor): void {
    this.#layout.split(firstPage, pageCount, (first, count) => {
      for (const window of this.#cut({ firstPage: first, pageCount: count })) {
        this.#scanRange(window.firstPage, window.pageCount, visit);
      }
    });
  }

  /** Begins a round: finds out which pages need not be looked at. */
  #beginRound(): void {
    const { takeDirtyPages, markAllocatedPages } = this.#guest;
    const isFirst = this.#log === undefined;
    if (takeDirtyPages === undefined && markAllocatedPages === undefined && this.#threads === undefined) return;
    this.#log ??= this.#threads?.log ?? new Uint8Array(bitmapBytes(this.#layout.memoryPages));
    this.#log.fill(0);
    if (takeDirtyPages !== undefined) {
      takeDirtyPages.call(this.#guest, this.#log);
      // Another migration may have taken the log before and come to nothing: what was written until then would never be sent.
      if (isFirst) this.#log.fill(0xff);
    } else if (this.#held !== undefined) {
      this.#log.set(this.#held);
      this.#guest.markAllocatedPages?.(this.#log);
    } else {
      this.#log.fill(0xff);
    }
  }

  /** Scans one window, all in one region, and visits the pages that changed. Returns how many they are. */
  #scan(firstPage: number, pageCount: number, visit: DirtyVisitor): number {
    if (this.#log === undefined) return this.#scanRange(firstPage, pageCount, visit);
    let dirty = 0;
    const end = firstPage + pageCount;
    for (let page = this.#nextLogged(firstPage, end); page < end; page = this.#nextLogged(page, end)) {
      const start = page;
      let last = page;
      for (; page < end && page <= last + NEAR_PAGES; page++) if (this.#isLogged(page)) last = page;
      dirty += this.#scanRange(start, last + 1 - start, visit);
    }
    return dirty;
  }

  #scanRange(firstPage: number, pageCount: number, visit: DirtyVisitor): number {
    const { pageBytes } = this.#layout;
    const known = this.fingerprints.subarray(
      firstPage * FINGERPRINT_BYTES,
      (firstPage + pageCount) * FINGERPRINT_BYTES,
    );
    const pages = this.#pages(firstPage, pageCount);
    this.#windowFingerprints.bytes.set(known);
    const dirty = this.#kernels.fingerprint.scan(
      pages,
      pageBytes,
      this.#secret,
      this.#windowFingerprints,
      this.#bitmap,
    );
    if (dirty === 0) return 0;
    known.set(this.#windowFingerprints.bytes.subarray(0, known.length));
    this.#visitRuns(firstPage, pageCount, pages.bytes, visit);
    return dirty;
  }

  *#scanHere(windows: Iterable<Window>, visit: DirtyVisitor): Generator<VisitedWindow, void, void> {
    let visitMs = 0;
    const timed: DirtyVisitor = (firstPage, pages) => {
      const startMs = performance.now();
      visit(firstPage, pages);
      visitMs += performance.now() - startMs;
    };
    for (const { firstPage, pageCount } of windows) {
      visitMs = 0;
      const startMs = performance.now();
      const dirty = this.#scan(firstPage, pageCount, timed);
      this.scanMs += performance.now() - startMs - visitMs;
      yield { firstPage, pageCount, dirty };
    }
  }

  /** The threads are given windows ahead, and while they are at work, windows are scanned here. */
  async *#scanWithThreads(threads: ScanThreads, visit: DirtyVisitor): AsyncGenerator<VisitedWindow, void, void> {
    const startMs = performance.now();
    const windows = this.#windows(THREAD_WINDOW_BYTES / this.#layout.pageBytes);
    const answers = new Map<Window, Promise<[Window, ScannedWindow]>>();
    const finished: [Window, ScannedWindow][] = [];
    for (;;) {
      const window = windows.next().value;
      if (window === undefined && answers.size === 0) break;
      if (window !== undefined && answers.size < threads.windowsAhead) {
        const scanning = threads.scan(window.firstPage, window.pageCount);
        const answer = scanning.then((scanned): [Window, ScannedWindow] => {
          finished.push([window, scanned]);
          return [window, scanned];
        });
        // Where an earlier one fails, nobody waits for it any more.
        answer.catch(() => {});
        answers.set(window, answer);
        continue;
      }
      if (window !== undefined) yield* this.#scanHere(this.#cut(window), visit);
      else if (finished.length === 0) await Promise.race(answers.values());
      await nextTurn();
      for (const [{ firstPage, pageCount }, scanned] of finished) {
        this.#bitmap.bytes.set(scanned.dirty);
        if (scanned.dirtyCount > 0) this.#visitRuns(firstPage, pageCount, scanned.pages, visit);
        scanned.release();
        yield { firstPage, pageCount, dirty: scanned.dirtyCount };
      }
      for (const [done] of finished.splice(0)) answers.delete(done);
    }
    this.scanMs = performance.now() - startMs;
  }

  /** Windows of all memory, each in one region; those in which nothing is to be looked at are left out. */
  *#windows(windowPages: number): Generator<Window, undefined, void> {
    const ranges: [number, number][] = [];
    this.#layout.split(0, this.#layout.memoryPages, (first, count) => ranges.push([first, first + count]));
    for (const [start, end] of ranges) {
      for (let firstPage = start; firstPage < end; firstPage += windowPages) {
        const pageCount = Math.min(windowPages, end - firstPage);
        if (this.#log === undefined || this.#nextLogged(firstPage, firstPage + pageCount) < firstPage + pageCount) {
          yield { firstPage, pageCount };
        }
      }
    }
    return undefined;
  }

  /** A stretch of one region as windows that are scanned here. */
  *#cut({ firstPage, pageCount }: Window): Generator<Window, void, void> {
    const end = firstPage + pageCount;
    for (let first = firstPage; first < end; first += this.#windowPages) {
      yield { firstPage: first, pageCount: Math.min(this.#windowPages, end - first) };
    }
  }

  /** Visits the runs of the window's bitmap. */
  #visitRuns(firstPage: number, pageCount: number, pages: Uint8Array, visit: DirtyVisitor): void {
    const { pageBytes } = this.#layout;
    for (let from = 0; ; ) {
      const run = this.#kernels.bitmap.nextRun(this.#bitmap, pageCount, from);
      if (run === undefined) return;
      from = run.start + run.length;
      if (this.#held !== undefined) setBits(this.#held, firstPage + run.start, run.length);
      visit(firstPage + run.start, pages.subarray(run.start * pageBytes, from * pageBytes));
    }
  }

  #pages(firstPage: number, pageCount: number): Span {
    const { inPlace } = this.#guest;
    if (inPlace !== undefined) return this.#kernels.arena.spanOf(inPlace.view(firstPage, pageCount));
    const pages = (this.#window as Span).part(0, pageCount * this.#layout.pageBytes);
    this.#guest.readPages(firstPage, pages.bytes);
    return pages;
  }

  #isLogged(page: number): boolean {
    return hasBit(this.#log as Uint8Array, page);
  }

  #nextLogged(from: number, end: number): number {
    return nextSetBit(this.#log as Uint8Array, end, from);
  }
}

/** The pages whose fingerprint is not that of a zero page, as a bitmap. */
function heldPages(fingerprints: Uint8Array, zero: Uint8Array): Uint8Array {
  const words = new Uint32Array(fingerprints.buffer, fingerprints.byteOffset, fingerprints.length / 4);
  const [first, second, third, fourth] = new Uint32Array(zero.buffer, zero.byteOffset, 4) as unknown as number[];
  const held = new Uint8Array(bitmapBytes(words.length / 4));
  for (let at = 0; at < words.length; at += 4) {
    const isZero =
      words[at] === first && words[at + 1] === second && words[at + 2] === third && words[at + 3] === fourth;
    if (!isZero) setBit(held, at / 4);
  }
  return held;
}
