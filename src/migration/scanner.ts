import type { Guest } from "../guest/guest.js";
import { bitmapBytes } from "../kernel/arena.js";
import { hasBit } from "../kernel/bitmap.js";
import { FINGERPRINT_BYTES } from "../kernel/fingerprint.js";
import { createKernels, type Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import type { MemoryLayout } from "./layout.js";

/** Memory is scanned in windows of so many bytes: a turn of the event loop goes by for each. */
const WINDOW_BYTES = 1 << 20;
/** Scratch for scanning in place: the secret, and a window's fingerprints and bitmap at the smallest page size, and their alignment. */
const SCRATCH_BYTES = 64 << 10;
/** Logged pages that stand nearer to each other are scanned together. */
const NEAR_PAGES = 8;

/** Is given pages that changed, which follow each other; the bytes hold until it returns. */
export type DirtyVisitor = (firstPage: number, pages: Uint8Array) => void;

/**
 * Finds the pages of a guest that are not what the destination holds, by their fingerprints: 16 bytes a page instead of a second copy. Scans a
 * guest's memory where it is, or reads it window by window; where the guest logs writes, only what was written.
 */
export class DirtyScanner {
  /** Pages of one window. */
  readonly windowPages: number;
  /** Fingerprints of what the destination holds, once it has been sent what was visited. */
  readonly fingerprints: Uint8Array;
  readonly #guest: Guest;
  readonly #layout: MemoryLayout;
  readonly #kernels: Kernels;
  readonly #secret: Span;
  readonly #window: Span | undefined;
  readonly #windowFingerprints: Span;
  readonly #bitmap: Span;
  #log: Uint8Array | undefined;

  private constructor(guest: Guest, layout: MemoryLayout, kernels: Kernels, seed: string, fingerprints: Uint8Array) {
    const { arena } = kernels;
    const { pageBytes } = layout;
    this.#guest = guest;
    this.#layout = layout;
    this.#kernels = kernels;
    this.fingerprints = fingerprints;
    this.windowPages = WINDOW_BYTES / pageBytes;
    this.#secret = kernels.fingerprint.secret(BigInt(`0x${seed}`));
    this.#windowFingerprints = arena.allocate(this.windowPages * FINGERPRINT_BYTES);
    this.#bitmap = arena.allocateBitmap(this.windowPages);
    this.#window = guest.inPlace === undefined ? arena.allocatePages(this.windowPages, pageBytes) : undefined;
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
    return new DirtyScanner(guest, layout, kernels, seed, fingerprints);
  }

  /** Begins a round: where the guest logs writes, takes the log. The first round looks at every page all the same. */
  beginRound(): void {
    if (this.#guest.takeDirtyPages === undefined) return;
    const isFirst = this.#log === undefined;
    this.#log ??= new Uint8Array(bitmapBytes(this.#layout.memoryPages));
    this.#log.fill(0);
    this.#guest.takeDirtyPages(this.#log);
    // Another migration may have taken the log before and come to nothing: what was written until then would never be sent.
    if (isFirst) this.#log.fill(0xff);
  }

  /** Scans one window, all in one region, and visits the pages that changed. Returns how many they are. */
  scan(firstPage: number, pageCount: number, visit: DirtyVisitor): number {
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
    const bytes = pages.bytes;
    for (let from = 0; ; ) {
      const run = this.#kernels.bitmap.nextRun(this.#bitmap, pageCount, from);
      if (run === undefined) return dirty;
      from = run.start + run.length;
      visit(firstPage + run.start, bytes.subarray(run.start * pageBytes, from * pageBytes));
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
    let page = from;
    while (page < end && !this.#isLogged(page))
      page += (page & 7) === 0 && (this.#log as Uint8Array)[page >>> 3] === 0 ? 8 : 1;
    return Math.min(page, end);
  }
}
