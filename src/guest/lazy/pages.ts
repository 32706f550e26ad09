import { readSync } from "node:fs";
import { bitmapBytes } from "../../kernel/arena.js";
import { hasBit, setBits } from "../../kernel/bitmap.js";
import { Errno } from "../fuse/message.js";
import type { FuseRead } from "../fuse/session.js";

/** Pages of one file. */
export interface PageRange {
  readonly firstPage: number;
  readonly pageCount: number;
}

/** What {@link LazyPages} needs of the outside. */
export interface LazyPagesOptions {
  /** The descriptor of the file that holds what has arrived. */
  readonly file: number;
  readonly byteLength: number;
  readonly pageBytes: number;
  readonly maxReadBytes: number;
  /** Nobody touches less than a page of the kernel. */
  readonly kernelPageBytes: number;
  /** Pages are missing that somebody waits for; told once for each page. */
  onFault(range: PageRange): void;
  /** A read has been answered that had to wait. */
  onWaited(waitMs: number): void;
}

interface Waiting extends PageRange {
  readonly read: FuseRead;
  readonly sinceMs: number;
}

/** How many pages are passed over before others shall have their turn: 2 ms would be too long. */
const MAX_LOOKS = 10_000;

const rangeOf = (firstPage: number, pageCount: number): PageRange => ({ firstPage, pageCount });

/**
 * The pages of one memory file of which only some have arrived: answers reads from the file, those of a missing page as soon as it is there, and tells
 * what is missing. What the kernel has been given it keeps, and asks for no more, unless it was short of memory.
 */
export class LazyPages {
  readonly #options: LazyPagesOptions;
  readonly #present: Uint8Array;
  readonly #told: Uint8Array;
  /** What was not read ahead. */
  readonly #refused: Uint8Array;
  /** What the kernel has been given. */
  readonly #given: Uint8Array;
  readonly #pageCount: number;
  readonly #buffer: Uint8Array;
  #waiting: Waiting[] = [];
  /** What has arrived and has not been looked at since: the kernel may have been given some of it. */
  readonly #ungiven: PageRange[] = [];

  constructor(options: LazyPagesOptions) {
    const { byteLength, pageBytes, maxReadBytes } = options;
    this.#options = options;
    this.#pageCount = Math.ceil(byteLength / pageBytes);
    const bytes = bitmapBytes(this.#pageCount);
    this.#present = new Uint8Array(bytes);
    this.#told = new Uint8Array(bytes);
    this.#refused = new Uint8Array(bytes);
    this.#given = new Uint8Array(bytes);
    this.#buffer = new Uint8Array(maxReadBytes);
  }

  /** Somebody reads. */
  take(read: FuseRead): void {
    const { pageBytes, kernelPageBytes } = this.#options;
    const firstPage = Math.floor(read.offset / pageBytes);
    const pageCount = Math.ceil((read.offset + read.byteLength) / pageBytes) - firstPage;
    if (this.#arePresent(firstPage, pageCount)) {
      this.#answer(read, firstPage, pageCount);
      return;
    }
    // The kernel reads ahead of a touch, up to 4 MiB where memory is to have huge pages, from somewhere before it. That is no reason to wait, nor to ask for
    // all of it: once refused, it reads what was touched by itself.
    if (read.byteLength > kernelPageBytes && !this.#wereRefused(firstPage, pageCount)) {
      setBits(this.#refused, firstPage, pageCount);
      read.fail(Errno.EIO);
      return;
    }
    this.#waiting.push({ read, firstPage, pageCount, sinceMs: performance.now() });
    this.#tell(firstPage, firstPage + pageCount);
  }

  /** Pages are in the file, for good; what lies outside of it is passed over. */
  arrived({ firstPage, pageCount }: PageRange): void {
    const end = Math.min(firstPage + pageCount, this.#pageCount);
    if (firstPage >= end) return;
    setBits(this.#present, firstPage, end - firstPage);
    const last = this.#ungiven.at(-1);
    const isNext = last !== undefined && last.firstPage + last.pageCount === firstPage;
    if (isNext) this.#ungiven[this.#ungiven.length - 1] = rangeOf(last.firstPage, end - last.firstPage);
    else this.#ungiven.push(rangeOf(firstPage, end - firstPage));
    const isDone = (waiting: Waiting): boolean =>
      waiting.firstPage < end &&
      waiting.firstPage + waiting.pageCount > firstPage &&
      this.#arePresent(waiting.firstPage, waiting.pageCount);
    const done = this.#waiting.filter(isDone);
    if (done.length === 0) return;
    this.#waiting = this.#waiting.filter((waiting) => !done.includes(waiting));
    for (const { read, sinceMs, ...range } of done) {
      this.#answer(read, range.firstPage, range.pageCount);
      this.#options.onWaited(performance.now() - sinceMs);
    }
  }

  /**
   * The next pages, `maxPages` at most, that have arrived and that the kernel has not been given; nobody waits for one of them. They count as given from
   * now on. Undefined where there are none, or none were found in a while: {@link hasUngiven} tells.
   */
  takeUngiven(maxPages: number): PageRange | undefined {
    for (let looks = MAX_LOOKS; looks > 0 && this.#ungiven.length > 0; looks--) {
      const next = this.#ungiven[0] as PageRange;
      const firstPage = next.firstPage;
      let pageCount = 0;
      while (pageCount < Math.min(next.pageCount, maxPages) && this.#isUngiven(firstPage + pageCount)) pageCount += 1;
      const passed = Math.max(1, pageCount);
      if (next.pageCount > passed) this.#ungiven[0] = rangeOf(firstPage + passed, next.pageCount - passed);
      else this.#ungiven.shift();
      if (pageCount === 0) continue;
      setBits(this.#given, firstPage, pageCount);
      return { firstPage, pageCount };
    }
    return undefined;
  }

  /** Whether there may be something to {@link takeUngiven}. */
  get hasUngiven(): boolean {
    return this.#ungiven.length > 0;
  }

  /** The bytes of pages, in `into`. Throws where they cannot be read. */
  read({ firstPage, pageCount }: PageRange, into: Uint8Array): Uint8Array {
    const { byteLength, pageBytes } = this.#options;
    const position = firstPage * pageBytes;
    return this.#read(position, into.subarray(0, Math.min(pageCount * pageBytes, byteLength - position)));
  }

  #read(position: number, into: Uint8Array): Uint8Array {
    for (let done = 0; done < into.length; ) {
      const count = readSync(this.#options.file, into, done, into.length - done, position + done);
      if (count === 0) throw new Error("The file that holds the memory has become shorter.");
      done += count;
    }
    return into;
  }

  #answer(read: FuseRead, firstPage: number, pageCount: number): void {
    let bytes: Uint8Array;
    try {
      bytes = this.#read(read.offset, this.#buffer.subarray(0, read.byteLength));
    } catch {
      read.fail(Errno.EIO);
      return;
    }
    setBits(this.#given, firstPage, pageCount);
    read.answer(bytes);
  }

  #tell(firstPage: number, end: number): void {
    for (let page = firstPage; page < end; page++) {
      if (hasBit(this.#present, page) || hasBit(this.#told, page)) continue;
      const start = page;
      while (page < end && !hasBit(this.#present, page) && !hasBit(this.#told, page)) page += 1;
      setBits(this.#told, start, page - start);
      this.#options.onFault({ firstPage: start, pageCount: page - start });
    }
  }

  #wereRefused(firstPage: number, pageCount: number): boolean {
    for (let page = firstPage; page < firstPage + pageCount; page++) if (hasBit(this.#refused, page)) return true;
    return false;
  }

  #arePresent(firstPage: number, pageCount: number): boolean {
    for (let page = firstPage; page < firstPage + pageCount; page++) if (!hasBit(this.#present, page)) return false;
    return true;
  }

  #isUngiven(page: number): boolean {
    if (!hasBit(this.#present, page) || hasBit(this.#given, page)) return false;
    // The kernel holds these locked until their reads are answered.
    return this.#waiting.every(({ firstPage, pageCount }) => page < firstPage || page >= firstPage + pageCount);
  }
}
