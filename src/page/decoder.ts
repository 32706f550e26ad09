import type { Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import { type BatchHeader, PageClass } from "../wire/batch.js";
import { BatchIndex } from "../wire/batch-index.js";
import { BatchBlock, batchFault } from "./batch-block.js";
import { PageCache } from "./cache.js";
import type { Zstd } from "./compression/zstd.js";
import { PageError } from "./errors.js";
import { checkPageSpace, chunkPagesOf, type PageSpace } from "./limits.js";

/** Where decoded pages go and, unless the decoder keeps a cache, where older versions are read. The bytes are the decoder's: copy them. */
export interface PageStore {
  readPages(firstPage: number, into: Uint8Array): void;
  writePages(firstPage: number, from: Uint8Array): void;
}

/** Options of a {@link PageDecoder}. */
export interface PageDecoderOptions extends PageSpace {
  /**
   * 0: the store's pages are what deltas and dups are made against. Otherwise the decoder keeps a cache of its own, in step with the encoder's, which
   * must have the same size; the store is only written to.
   */
  readonly cacheBytes: number;
  /** Takes the annex of a batch before its pages are written; it is the decoder's: copy it. Without this an annex is a fault. */
  readonly onAnnex?: (annex: Uint8Array) => void;
}

/** Rebuilds pages from a {@link PageEncoder}'s batches, all of them and in order. Trusts nothing that it is given. */
export class PageDecoder {
  readonly #kernels: Kernels;
  readonly #space: PageSpace;
  readonly #store: PageStore;
  readonly #onAnnex: ((annex: Uint8Array) => void) | undefined;
  readonly #chunkPages: number;
  readonly #cache: PageCache | undefined;
  readonly #index = new BatchIndex();
  readonly #batch: BatchBlock;
  readonly #block: Span;
  /** Pages on their way through: read, changed, written. */
  readonly #chunk: Span;
  readonly #locals: Span;
  readonly #payloadBytes: Span;

  /** Use {@link createPageDecoder}, which loads what is needed. Throws `argument`. */
  constructor(kernels: Kernels, store: PageStore, options: PageDecoderOptions, zstd: Zstd | undefined) {
    const { pageBytes, pageCount, cacheBytes } = options;
    checkPageSpace(options, cacheBytes);
    const { arena } = kernels;
    this.#kernels = kernels;
    this.#space = options;
    this.#store = store;
    this.#onAnnex = options.onAnnex;
    this.#chunkPages = chunkPagesOf(pageBytes);
    this.#chunk = arena.allocatePages(this.#chunkPages, pageBytes);
    this.#locals = arena.allocate(this.#chunkPages * 4);
    for (let local = 0; local < this.#chunkPages; local++) this.#locals.u32[local] = local;
    this.#payloadBytes = arena.allocate(this.#chunkPages * 4);
    this.#batch = new BatchBlock(kernels, zstd);
    this.#block = this.#batch.span;
    if (cacheBytes > 0) this.#cache = new PageCache(kernels, pageCount, pageBytes, cacheBytes);
  }

  /** Loads zstd where the batch needs it: for those who cannot know beforehand what comes. Throws `zstd-missing`. */
  async prepareFor(batch: Uint8Array): Promise<void> {
    await this.#batch.prepareFor(batch);
  }

  /**
   * Brings a batch's pages into the store; returns how many they are. Throws a {@link PageError}: `batch-malformed`, and then the decoder and
   * what it wrote to are of no use any more (most faults are found before a page is written, but not all), or `zstd-missing`.
   */
  decode(batch: Uint8Array): number {
    try {
      const header = this.#batch.decompress(batch);
      const { residualBytes, indexBytes } = header;
      const index = this.#block.bytes.subarray(residualBytes, residualBytes + indexBytes);
      this.#index.read(index, header, this.#space.pageCount, this.#space.pageBytes);
      this.#passAnnex(header);
      this.#apply(header);
      return this.#index.pageCount;
    } catch (error) {
      throw batchFault(error);
    }
  }

  #passAnnex({ residualBytes }: BatchHeader): void {
    const { pagesBytes } = this.#index;
    if (this.#onAnnex !== undefined) this.#onAnnex(this.#block.bytes.subarray(pagesBytes, residualBytes));
    else if (pagesBytes < residualBytes) {
      throw new PageError(
        "batch-malformed",
        "A batch of pages is malformed: its residual stream is longer than its pages.",
      );
    }
  }

  #apply(header: BatchHeader): void {
    const { classes, firstPages, pageCounts, sourcePages, wordOffsets } = this.#index;
    let residual = 0;
    let payload = 0;
    for (let run = 0; run < this.#index.runCount; run++) {
      const first = firstPages[run] as number;
      const count = pageCounts[run] as number;
      switch (classes[run]) {
        case PageClass.zero:
          this.#fill(first, count, 0, 0);
          break;
        case PageClass.fill: {
          const at = header.residualBytes + (wordOffsets[run] as number);
          const word = this.#block.bytes.slice(at, at + 8);
          const view = new DataView(word.buffer);
          this.#fill(first, count, view.getUint32(0, true), view.getUint32(4, true));
          break;
        }
        case PageClass.dup:
          this.#copy(first, count, sourcePages[run] as number);
          break;
        case PageClass.delta:
          residual = this.#applyDeltas(first, count, payload, residual);
          payload += count;
          break;
        case PageClass.novel:
          residual = this.#writeNovel(first, count, residual);
          this.#cache?.put(first, count, this.#block, residual - count * this.#space.pageBytes);
          break;
        case PageClass.passing:
          residual = this.#writeNovel(first, count, residual);
          for (let page = first; page < first + count; page++) this.#cache?.forget(page);
          break;
        case PageClass.same:
          this.#writeSame(first, count);
      }
    }
  }

  #fill(first: number, count: number, low: number, high: number): void {
    const pages = Math.min(count, this.#chunkPages);
    const words = this.#chunk.u32.subarray(0, (pages * this.#space.pageBytes) / 4);
    if (low === high) {
      words.fill(low);
    } else {
      for (let at = 0; at < words.length; at += 2) {
        words[at] = low;
        words[at + 1] = high;
      }
    }
    this.#inChunks(first, count, (page, pages) => {
      this.#store.writePages(page, this.#pages(pages));
      for (let at = 0; at < pages; at++) this.#cache?.forget(page + at);
    });
  }

  #copy(first: number, count: number, source: number): void {
    this.#inChunks(first, count, (page, pages) => {
      this.#read(source + page - first, pages);
      this.#write(page, pages);
    });
  }

  #applyDeltas(first: number, count: number, firstPayload: number, firstByte: number): number {
    let byte = firstByte;
    this.#inChunks(first, count, (page, pages) => {
      const payload = firstPayload + page - first;
      const lengths = this.#index.payloadBytes.subarray(payload, payload + pages);
      this.#payloadBytes.i32.set(lengths);
      let bytes = 0;
      for (const length of lengths) bytes += length;
      this.#read(page, pages);
      this.#kernels.delta.decodeList(
        this.#block.part(byte, bytes),
        bytes,
        this.#payloadBytes,
        { pages: this.#chunk, numbers: this.#locals },
        pages,
        this.#space.pageBytes,
      );
      this.#write(page, pages);
      byte += bytes;
    });
    return byte;
  }

  #writeNovel(first: number, count: number, firstByte: number): number {
    const { pageBytes } = this.#space;
    const end = firstByte + count * pageBytes;
    this.#store.writePages(first, this.#block.bytes.subarray(firstByte, end));
    return end;
  }

  #writeSame(first: number, count: number): void {
    this.#inChunks(first, count, (page, pages) => {
      this.#read(page, pages);
      this.#store.writePages(page, this.#pages(pages));
    });
  }

  /** Older versions, or pages of equal content: from the cache or the store into the chunk. */
  #read(first: number, count: number): void {
    const { pageBytes } = this.#space;
    if (this.#cache === undefined) {
      this.#store.readPages(first, this.#pages(count));
      return;
    }
    for (let page = 0; page < count; page++) {
      if (!this.#cache.holds(first + page)) {
        throw new PageError(
          "batch-malformed",
          `A batch of pages needs page ${first + page}, which the cache does not hold.`,
        );
      }
      const at = this.#cache.slotOf(first + page) * pageBytes;
      this.#kernels.arena.copy(this.#cache.pages, at, this.#chunk, page * pageBytes, pageBytes);
    }
  }

  #write(first: number, count: number): void {
    this.#store.writePages(first, this.#pages(count));
    this.#cache?.put(first, count, this.#chunk, 0);
  }

  #pages(count: number): Uint8Array {
    return this.#chunk.bytes.subarray(0, count * this.#space.pageBytes);
  }

  #inChunks(first: number, count: number, visit: (page: number, pages: number) => void): void {
    for (let page = first; page < first + count; page += this.#chunkPages) {
      visit(page, Math.min(this.#chunkPages, first + count - page));
    }
  }
}
