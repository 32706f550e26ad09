import { DELTA_UNCHANGED } from "../kernel/delta.js";
import type { Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import {
  BATCH_HEADER_BYTES,
  BATCH_MAX_INDEX_BYTES,
  BATCH_MAX_PAGES,
  BATCH_MAX_RESIDUAL_BYTES,
  PageClass,
  writeBatchHeader,
} from "../wire/batch.js";
import { IndexWriter } from "../wire/batch-index.js";
import { PageCache } from "./cache.js";
import { PageChunk } from "./chunk.js";
import type { CompressionChoice } from "./compression/choice.js";
import { BlockCompressor, type Compression } from "./compression/compressor.js";
import type { Zstd } from "./compression/zstd.js";
import { DuplicateFinder } from "./duplicates.js";
import { checkNumber, checkPageSpace, chunkPagesOf, type PageSpace } from "./limits.js";

/** Options of a {@link PageEncoder}. */
export interface PageEncoderOptions extends PageSpace {
  readonly compression: Compression;
  /** Memory for pages as they were sent, which deltas and dups are made against. 0: neither. */
  readonly cacheBytes: number;
  /** A batch ends when its deltas and novel pages have so many bytes. */
  readonly batchBytes: number;
  readonly zstdLevel: number;
  /** Pages that have not changed are listed too: for a receiver that wants every page, in the order in which they were added. Default: they are not. */
  readonly listUnchanged?: boolean;
  /** Is given every batch as soon as it is finished; the bytes are the encoder's. Default: batches wait to be taken. */
  readonly onBatch?: (batch: Uint8Array) => void;
  /** Hears of all pages in their order, by their numbers and the class of each; the arrays hold until it returns. */
  readonly onPages?: ((pages: Uint32Array, classes: Uint8Array) => void) | undefined;
}

/** What has been encoded: pages by class, and bytes. */
export interface EncodedPages {
  readonly zero: number;
  readonly fill: number;
  readonly dup: number;
  readonly delta: number;
  readonly novel: number;
  /** Pages that the destination holds already, just so; their content does not travel. */
  readonly unchanged: number;
  /** Deltas and novel pages before compression. */
  readonly residualBytes: number;
  /** Batches as they travel. */
  readonly encodedBytes: number;
}

/** A link that takes so much takes a page about as soon as the page can be remembered, and looked for among others. */
const FAST_LINK_BYTES_PER_SECOND = 200e6;

/**
 * Turns pages into batches. It does not know where pages come from nor where batches go; a {@link PageDecoder} that is given all batches
 * in order holds the same pages.
 */
export class PageEncoder {
  /**
   * Whether pages may pass over a fast link without being remembered: for those that will hardly come again. Where they do, they travel whole once
   * more.
   */
  mayPass = false;
  readonly #kernels: Kernels;
  readonly #space: PageSpace;
  readonly #batchBytes: number;
  readonly #listsUnchanged: boolean;
  readonly #onBatch: (batch: Uint8Array) => void;
  readonly #onPages: PageEncoderOptions["onPages"];
  readonly #chunkPages: number;
  readonly #cache: PageCache;
  readonly #duplicates: DuplicateFinder | undefined;
  readonly #compressor: BlockCompressor;
  readonly #index = new IndexWriter();
  readonly #batches: Uint8Array[] = [];

  /** Pages waiting to be classified. */
  readonly #chunk: PageChunk;
  /** Of each of the chunk's pages that are not filled: its class, and what goes with the class. */
  readonly #classes: Uint8Array;
  readonly #sources: Uint32Array;
  readonly #payloadOffsets: Int32Array;
  readonly #payloadBytes: Int32Array;
  /** Slots that the chunk's pages change. */
  readonly #slots: Uint32Array;
  /** The pages of which the cache holds an older version. */
  readonly #deltaPages: Span;
  readonly #deltaSlots: Span;
  readonly #payloadLengths: Span;
  readonly #payloads: Span;

  /** Deltas and novel pages of the batch, with room for the index behind them. */
  readonly #block: Span;
  #residualBytes = 0;

  readonly #pages: Record<PageClass, number> = { 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0 };
  #totalResidualBytes = 0;
  #encodedBytes = 0;

  /** Use {@link createPageEncoder}, which loads what is needed. Throws `argument`. */
  constructor(kernels: Kernels, options: PageEncoderOptions, zstd: Zstd | undefined) {
    const { pageBytes, pageCount, cacheBytes, batchBytes } = options;
    checkPageSpace(options, cacheBytes);
    const chunkPages = chunkPagesOf(pageBytes);
    const chunkBytes = chunkPages * pageBytes;
    checkNumber("batchBytes", batchBytes, 1, BATCH_MAX_RESIDUAL_BYTES - chunkBytes);
    const { arena } = kernels;
    const blockBytes = batchBytes + chunkBytes + BATCH_MAX_INDEX_BYTES;
    this.#kernels = kernels;
    this.#space = options;
    this.#batchBytes = batchBytes;
    this.#listsUnchanged = options.listUnchanged ?? false;
    this.#onBatch = options.onBatch ?? ((batch) => this.#batches.push(batch.slice()));
    this.#onPages = options.onPages;
    this.#chunkPages = chunkPages;
    this.#classes = new Uint8Array(chunkPages);
    this.#sources = new Uint32Array(chunkPages);
    this.#payloadOffsets = new Int32Array(chunkPages);
    this.#payloadBytes = new Int32Array(chunkPages);
    this.#slots = new Uint32Array(chunkPages);
    this.#deltaPages = arena.allocate(chunkPages * 4);
    this.#deltaSlots = arena.allocate(chunkPages * 4);
    this.#payloadLengths = arena.allocate(chunkPages * 4);
    this.#payloads = arena.allocate(chunkBytes);
    this.#block = arena.allocate(BATCH_HEADER_BYTES + blockBytes).part(BATCH_HEADER_BYTES, blockBytes);
    this.#compressor = new BlockCompressor(kernels, blockBytes, options.compression, zstd, options.zstdLevel);
    this.#cache = new PageCache(kernels, pageCount, pageBytes, cacheBytes);
    this.#chunk = new PageChunk(kernels, chunkPages, pageBytes, this.#cache.slots);
    if (this.#cache.slots > 0) this.#duplicates = new DuplicateFinder(kernels, this.#cache, pageBytes, chunkPages);
  }

  /** What has been encoded so far; pages and batches that are still open do not count yet. */
  get encoded(): EncodedPages {
    const { 1: zero, 2: fill, 3: dup, 4: delta, 5: kept, 6: unchanged, 7: passing } = this.#pages;
    const bytes = { residualBytes: this.#totalResidualBytes, encodedBytes: this.#encodedBytes };
    return { zero, fill, dup, delta, novel: kept + passing, unchanged, ...bytes };
  }

  /** Where compression is `auto`: what chooses the codec; it wants to be told the link's rate. */
  get compressionChoice(): CompressionChoice | undefined {
    return this.#compressor.choice;
  }

  /** Adds whole pages that follow each other, with their present content, which is copied. */
  add(firstPage: number, pages: Uint8Array): void {
    this.#collect(firstPage, pages, () => this.#encodeChunk());
  }

  /**
   * Says that the destination holds this content in these pages, from an older image for example. Nothing travels; so a decoder with a cache,
   * which would not know, cannot follow.
   */
  hold(firstPage: number, pages: Uint8Array): void {
    this.#encodeChunk();
    this.#collect(firstPage, pages, () => this.#holdChunk());
    this.#holdChunk();
  }

  /**
   * Ends the batch, so that {@link take} gives everything that has been added. An annex travels with it, before its pages and compressed with
   * them; there must be room for it: `batchBytes`, less what deltas and novel pages of the batch take. Throws `argument`.
   */
  flush(annex?: Uint8Array): void {
    this.#encodeChunk();
    if (annex !== undefined) this.#addAnnex(annex);
    this.#endBatch();
  }

  /** The next finished batch, if there is one. */
  take(): Uint8Array | undefined {
    return this.#batches.shift();
  }

  #collect(firstPage: number, pages: Uint8Array, process: () => void): void {
    const { pageBytes, pageCount } = this.#space;
    const count = pages.length / pageBytes;
    checkNumber("The number of pages", count, 0, pageCount);
    checkNumber("firstPage", firstPage, 0, pageCount - count);
    for (let done = 0; done < count; ) {
      const taken = this.#chunk.take(firstPage + done, pages, done);
      if (taken === 0) process();
      done += taken;
    }
  }

  #holdChunk(): void {
    if (this.#chunk.count === 0) return;
    this.#chunk.findFilled();
    if (this.#duplicates !== undefined) this.#enter(this.#duplicates);
    this.#chunk.clear();
  }

  #encodeChunk(): void {
    if (this.#chunk.count === 0) return;
    this.#chunk.findFilled();
    this.#classes.fill(PageClass.novel);
    if (this.#duplicates !== undefined && this.#isLinkFast) {
      this.#classes.fill(PageClass.passing);
      this.#leaveCache(this.#duplicates, (page) => this.#cache.holds(page));
    } else if (this.#duplicates !== undefined) {
      this.#encodeDeltas();
      this.#enter(this.#duplicates);
      this.#nameDuplicates();
    }
    this.#write();
    this.#chunk.clear();
    if (this.#residualBytes >= this.#batchBytes || this.#index.pageCount > BATCH_MAX_PAGES - this.#chunkPages) {
      this.#endBatch();
    }
  }

  #encodeDeltas(): void {
    const { pages, unfilledCount, unfilledNumbers } = this.#chunk;
    const deltaPages = this.#deltaPages.u32;
    const slots = this.#deltaSlots.u32;
    let count = 0;
    for (let at = 0; at < unfilledCount; at++) {
      const page = unfilledNumbers[at] as number;
      if (!this.#cache.holds(page)) continue;
      deltaPages[count] = at;
      slots[count] = this.#cache.slotOf(page);
      count += 1;
    }
    if (count === 0) return;
    this.#kernels.delta.encodeList(
      { pages: this.#cache.pages, numbers: this.#deltaSlots },
      { pages, numbers: this.#deltaPages },
      count,
      this.#space.pageBytes,
      this.#payloadLengths,
      this.#payloads,
    );
    const lengths = this.#payloadLengths.i32;
    let offset = 0;
    for (let delta = 0; delta < count; delta++) {
      const at = deltaPages[delta] as number;
      const length = lengths[delta] as number;
      if (length < 0) continue;
      this.#classes[at] = length === DELTA_UNCHANGED ? PageClass.same : PageClass.delta;
      this.#payloadOffsets[at] = offset;
      this.#payloadBytes[at] = length;
      offset += length;
    }
  }

  get #isLinkFast(): boolean {
    return this.mayPass && (this.#compressor.choice?.linkBytesPerSecond ?? 0) >= FAST_LINK_BYTES_PER_SECOND;
  }

  /** Takes the slots of the chunk's pages, where `isLost` says so, out of the cache and of the names of what it holds. */
  #leaveCache(duplicates: DuplicateFinder, isLost: (page: number, isFilled: boolean) => boolean): void {
    const { count, numbers, classes } = this.#chunk;
    let slots = 0;
    for (let local = 0; local < count; local++) {
      const page = numbers[local] as number;
      if (isLost(page, classes[local] !== PageClass.novel)) this.#slots[slots++] = this.#cache.slotOf(page);
    }
    if (slots === 0) return;
    duplicates.remove(this.#slots, slots);
    this.#cache.empty(this.#slots, slots);
  }

  /** Brings the cache, and the names of what it holds, to the chunk's content. */
  #enter(duplicates: DuplicateFinder): void {
    const cache = this.#cache;
    const { pages, unfilledCount, unfilledNumbers } = this.#chunk;
    this.#leaveCache(duplicates, (page, isFilled) =>
      isFilled ? cache.holds(page) : cache.isTaken(cache.slotOf(page)),
    );
    if (unfilledCount === 0) return;
    const { pageBytes } = this.#space;
    for (let first = 0, next = 0; first < unfilledCount; first = next) {
      do next += 1;
      while (next < unfilledCount && unfilledNumbers[next] === (unfilledNumbers[next - 1] as number) + 1);
      cache.put(unfilledNumbers[first] as number, next - first, pages, first * pageBytes);
    }
    duplicates.enter(pages, unfilledNumbers, unfilledCount, this.#sources);
  }

  #nameDuplicates(): void {
    const { unfilledCount, unfilledNumbers } = this.#chunk;
    for (let at = 0; at < unfilledCount; at++) {
      if (this.#sources[at] !== unfilledNumbers[at] && this.#classes[at] !== PageClass.same) {
        this.#classes[at] = PageClass.dup;
      }
    }
  }

  #write(): void {
    const { count, numbers, classes, words } = this.#chunk;
    let end = this.#residualBytes;
    // Pages that stand together in the chunk are copied together: this is the first one that has not been.
    let copied = 0;
    for (let local = 0, at = 0; local < count; local++) {
      const page = numbers[local] as number;
      const isFilled = classes[local] !== PageClass.novel;
      const pageClass = (isFilled ? classes[local] : this.#classes[at]) as PageClass;
      this.#pages[pageClass] += 1;
      classes[local] = pageClass;
      if (!isFilled && pageClass !== PageClass.novel && pageClass !== PageClass.passing) {
        end = this.#copyPages(copied, at, end);
        copied = at + 1;
      }
      switch (pageClass) {
        case PageClass.same:
          if (this.#listsUnchanged) this.#index.same(page);
          break;
        case PageClass.zero:
          this.#index.zero(page);
          break;
        case PageClass.fill:
          this.#index.fill(page, words[2 * local] as number, words[2 * local + 1] as number);
          break;
        case PageClass.dup:
          this.#index.dup(page, this.#sources[at] as number);
          break;
        case PageClass.delta: {
          const offset = this.#payloadOffsets[at] as number;
          const length = this.#payloadBytes[at] as number;
          this.#kernels.arena.copy(this.#payloads, offset, this.#block, end, length);
          end += length;
          this.#index.delta(page, length);
          break;
        }
        case PageClass.novel:
          this.#index.novel(page);
          break;
        case PageClass.passing:
          this.#index.passing(page);
      }
      if (!isFilled) at += 1;
    }
    this.#residualBytes = this.#copyPages(copied, this.#chunk.unfilledCount, end);
    this.#onPages?.(numbers.subarray(0, count), classes.subarray(0, count));
  }

  /** Copies the chunk's unfilled pages from one to before another to where the residual stream ends; returns its new end. */
  #copyPages(from: number, to: number, end: number): number {
    const { pageBytes } = this.#space;
    const byteLength = (to - from) * pageBytes;
    if (byteLength > 0) this.#kernels.arena.copy(this.#chunk.pages, from * pageBytes, this.#block, end, byteLength);
    return end + byteLength;
  }

  #addAnnex(annex: Uint8Array): void {
    checkNumber("The annex", annex.length, 0, this.#batchBytes - this.#residualBytes);
    this.#block.bytes.set(annex, this.#residualBytes);
    this.#residualBytes += annex.length;
  }

  #endBatch(): void {
    if (this.#index.pageCount === 0 && this.#residualBytes === 0) return;
    const { bytes: index, runCount } = this.#index.take();
    const residualBytes = this.#residualBytes;
    this.#block.bytes.set(index, residualBytes);
    const { codec, bytes } = this.#compressor.compress(this.#block, residualBytes + index.length);
    // Wherever the compressor left it, there is room for the header before it.
    const start = bytes.byteOffset - BATCH_HEADER_BYTES;
    const batch = new Uint8Array(bytes.buffer, start, BATCH_HEADER_BYTES + bytes.length);
    writeBatchHeader(batch, { codec, runCount, residualBytes, indexBytes: index.length });
    this.#totalResidualBytes += residualBytes;
    this.#encodedBytes += batch.length;
    this.#residualBytes = 0;
    this.#onBatch(batch);
  }
}
