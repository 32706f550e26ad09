import { BATCH_MAX_INDEX_BYTES, BATCH_MAX_PAGES, type BatchHeader, malformed, PageClass } from "./batch.js";
import { VarintReader, writeVarint } from "./varint.js";

/** Gaps count round it: page numbers stay below. */
const GAP_MODULUS = 2 ** 32;

/** Writes an index, page by page: pages that belong together become a run. */
export class IndexWriter {
  readonly #bytes = new Uint8Array(BATCH_MAX_INDEX_BYTES);
  readonly #lengths = new Int32Array(BATCH_MAX_PAGES);
  #at = 0;
  #runCount = 0;
  #pageCount = 0;
  #endOfLast = 0;
  #class = 0;
  #first = 0;
  #length = 0;
  #source = 0;
  #wordLow = 0;
  #wordHigh = 0;

  get pageCount(): number {
    return this.#pageCount;
  }

  zero(page: number): void {
    this.#add(PageClass.zero, page);
  }

  /** The word's two halves, as little-endian numbers. */
  fill(page: number, low: number, high: number): void {
    if (low !== this.#wordLow || high !== this.#wordHigh) this.#endRun();
    this.#wordLow = low;
    this.#wordHigh = high;
    this.#add(PageClass.fill, page);
  }

  dup(page: number, sourcePage: number): void {
    const distance = sourcePage - page;
    // A run never reads what it writes.
    if (distance !== this.#source - this.#first || Math.abs(distance) <= this.#length) this.#endRun();
    if (this.#add(PageClass.dup, page)) this.#source = sourcePage;
  }

  delta(page: number, payloadBytes: number): void {
    this.#add(PageClass.delta, page);
    this.#lengths[this.#length - 1] = payloadBytes;
  }

  novel(page: number): void {
    this.#add(PageClass.novel, page);
  }

  passing(page: number): void {
    this.#add(PageClass.passing, page);
  }

  same(page: number): void {
    this.#add(PageClass.same, page);
  }

  /** The index so far and its number of runs; the writer is empty afterwards. The bytes hold until the next page is written. */
  take(): { readonly bytes: Uint8Array; readonly runCount: number; readonly pageCount: number } {
    this.#endRun();
    const taken = { bytes: this.#bytes.subarray(0, this.#at), runCount: this.#runCount, pageCount: this.#pageCount };
    this.#at = this.#runCount = this.#pageCount = this.#endOfLast = 0;
    return taken;
  }

  /** Whether a new run began with the page. */
  #add(pageClass: PageClass, page: number): boolean {
    this.#pageCount += 1;
    if (this.#class === pageClass && page === this.#first + this.#length) {
      this.#length += 1;
      return false;
    }
    this.#endRun();
    this.#class = pageClass;
    this.#first = page;
    this.#length = 1;
    return true;
  }

  #endRun(): void {
    if (this.#class === 0) return;
    const bytes = this.#bytes;
    const gap = this.#first - this.#endOfLast;
    let at = writeVarint(bytes, this.#at, gap < 0 ? gap + GAP_MODULUS : gap);
    at = writeVarint(bytes, at, this.#length * 8 + this.#class);
    if (this.#class === PageClass.fill) {
      for (let shift = 0; shift < 32; shift += 8) bytes[at++] = this.#wordLow >>> shift;
      for (let shift = 0; shift < 32; shift += 8) bytes[at++] = this.#wordHigh >>> shift;
    } else if (this.#class === PageClass.dup) {
      const distance = this.#source - this.#first;
      at = writeVarint(bytes, at, distance < 0 ? -2 * distance - 1 : 2 * distance);
    } else if (this.#class === PageClass.delta) {
      for (let page = 0; page < this.#length; page++) at = writeVarint(bytes, at, this.#lengths[page] as number);
    }
    this.#at = at;
    this.#runCount += 1;
    this.#endOfLast = this.#first + this.#length;
    this.#class = 0;
  }
}

/** The runs of one batch, a column for each of their properties; it is used again for the next batch. */
export class BatchIndex {
  readonly classes: Uint8Array = new Uint8Array(BATCH_MAX_PAGES);
  readonly firstPages: Uint32Array = new Uint32Array(BATCH_MAX_PAGES);
  readonly pageCounts: Uint32Array = new Uint32Array(BATCH_MAX_PAGES);
  /** dup: the first of the pages that hold the content. */
  readonly sourcePages: Uint32Array = new Uint32Array(BATCH_MAX_PAGES);
  /** fill: where in the index the eight bytes stand. */
  readonly wordOffsets: Uint32Array = new Uint32Array(BATCH_MAX_PAGES);
  /** The bytes of all payloads of the batch, in order. */
  readonly payloadBytes: Int32Array = new Int32Array(BATCH_MAX_PAGES);
  runCount = 0;
  pageCount = 0;
  /** The payloads and pages in the residual stream; an annex stands behind them. */
  pagesBytes = 0;

  /**
   * Reads an index whole and checks it: every page and source inside a machine of `machinePages` pages, no run that reads what it writes, and
   * payloads and pages that fit into the residual stream. Throws `batch-malformed`.
   */
  read(bytes: Uint8Array, header: BatchHeader, machinePages: number, pageBytes: number): void {
    const reader = new VarintReader(bytes);
    let end = 0;
    let pages = 0;
    let payloads = 0;
    let residualBytes = 0;
    for (let run = 0; run < header.runCount; run++) {
      const first = (end + reader.next()) % GAP_MODULUS;
      const head = reader.next();
      const length = Math.floor(head / 8);
      const pageClass = head % 8;
      end = first + length;
      pages += length;
      if (length === 0 || end > machinePages) throw malformed("a run leaves the machine's memory");
      if (pages > BATCH_MAX_PAGES) throw malformed(`it has more than ${BATCH_MAX_PAGES} pages`);
      this.classes[run] = pageClass;
      this.firstPages[run] = first;
      this.pageCounts[run] = length;
      switch (pageClass) {
        case PageClass.zero:
        case PageClass.same:
          break;
        case PageClass.fill:
          this.wordOffsets[run] = reader.skip(8);
          break;
        case PageClass.dup: {
          const zigzag = reader.next();
          const distance = zigzag % 2 === 1 ? -(zigzag + 1) / 2 : zigzag / 2;
          const source = first + distance;
          if (source < 0 || source + length > machinePages) throw malformed("a dup leaves the machine's memory");
          if (Math.abs(distance) < length) throw malformed("a run of dups reads what it writes");
          this.sourcePages[run] = source;
          break;
        }
        case PageClass.delta:
          for (let page = 0; page < length; page++) {
            const payloadBytes = reader.next();
            if (payloadBytes === 0 || payloadBytes > pageBytes)
              throw malformed("a delta is empty or longer than a page");
            this.payloadBytes[payloads++] = payloadBytes;
            residualBytes += payloadBytes;
          }
          break;
        case PageClass.novel:
        case PageClass.passing:
          residualBytes += length * pageBytes;
          break;
        default:
          throw malformed(`page class ${pageClass} is unknown`);
      }
    }
    if (!reader.isAtEnd) throw malformed("its index is longer than its runs");
    if (residualBytes > header.residualBytes) throw malformed("its residual stream is shorter than its pages");
    this.pagesBytes = residualBytes;
    this.runCount = header.runCount;
    this.pageCount = pages;
  }
}
