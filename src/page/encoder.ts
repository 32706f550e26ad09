import { DELTA_UNCHANGED } from "../kernel/delta.js";
import type { Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import {
  BATCH_MAX_INDEX_BYTES,
  BATCH_MAX_PAGES,
  BATCH_MAX_RESIDUAL_BYTES,
  encodeBatch,
  PageClass,
} from "../wire/batch.js";
import { IndexWriter } from "../wire/batch-index.js";
import { PageCache } from "./cache.js";
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
}

/** What has been encoded: pages by class, and bytes. */
export interface EncodedPages {
  readonly zero: number;
  readonly fill: number;
  readonly dup: number;
  readonly delta: number;
  readonly novel: number;
  /** Pages that the destination holds already, just so; they do not travel. */
  readonly unchanged: number;
  /** Deltas and novel pages before compression. */
  readonly residualBytes: number;
  /** Batches as they travel. */
  readonly encodedBytes: number;
}

const SAME = 0;

/**
 * Turns pages into batches. It does not know where pages come from nor where batches go; a {@link PageDecoder} that is given all batches
 * in order holds the same pages.
 */
export class PageEncoder {
  readonly #kernels: Kernels;
  readonly #space: PageSpace;
  readonly #batchBytes: number;
  readonly #chunkPages: number;
  readonly #cache: PageCache;
  readonly #duplicates: DuplicateFinder | undefined;
  readonly #compressor: BlockCompressor;
  readonly #index = new IndexWriter();
  readonly #batches: Uint8Array[] = [];

  /** Pages waiting to be classified, and their numbers. */
  readonly #chunk: Span;
  readonly #numbers: Uint32Array;
  /** The last chunk that used each slot. */
  readonly #slotChunks: Uint32Array;
  #chunkNumber = 1;
  #chunkCount = 0;

  readonly #filled: Span;
  readonly #words: Span;
  readonly #classes: Uint8Array;
  readonly #sources: Uint32Array;
  readonly #slots: Uint32Array;
  /** The chunk's pages that are not filled: where in the chunk, and their numbers. */
  readonly #locals: Uint32Array;
  readonly #localNumbers: Uint32Array;
  readonly #localSources: Uint32Array;
  /** Those of which the cache holds an older version. */
  readonly #deltaLocals: Span;
  readonly #deltaSlots: Span;
  readonly #payloadLengths: Span;
  readonly #payloads: Span;
  readonly #payloadOffsets: Int32Array;
  readonly #payloadBytes: Int32Array;

  /** Deltas and novel pages of the batch, with room for the index behind them. */
  readonly #block: Span;
  #residualBytes = 0;

  readonly #pages: Record<PageClass | typeof SAME, number> = { 0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0 };
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
    this.#chunkPages = chunkPages;
    this.#chunk = arena.allocate(chunkBytes);
    this.#numbers = new Uint32Array(chunkPages);
    this.#filled = arena.allocateBitmap(chunkPages);
    this.#words = arena.allocate(chunkPages * 8);
    this.#classes = new Uint8Array(chunkPages);
    this.#sources = new Uint32Array(chunkPages);
    this.#slots = new Uint32Array(chunkPages);
    this.#locals = new Uint32Array(chunkPages);
    this.#localNumbers = new Uint32Array(chunkPages);
    this.#localSources = new Uint32Array(chunkPages);
    this.#deltaLocals = arena.allocate(chunkPages * 4);
    this.#deltaSlots = arena.allocate(chunkPages * 4);
    this.#payloadLengths = arena.allocate(chunkPages * 4);
    this.#payloads = arena.allocate(chunkBytes);
    this.#payloadOffsets = new Int32Array(chunkPages);
    this.#payloadBytes = new Int32Array(chunkPages);
    this.#block = arena.allocate(blockBytes);
    this.#compressor = new BlockCompressor(kernels, blockBytes, options.compression, zstd, options.zstdLevel);
    this.#cache = new PageCache(kernels, pageCount, pageBytes, cacheBytes);
    this.#slotChunks = new Uint32Array(this.#cache.slots);
    if (this.#cache.slots > 0) this.#duplicates = new DuplicateFinder(kernels, this.#cache, pageBytes, chunkPages);
  }

  /** What has been encoded so far; pages and batches that are still open do not count yet. */
  get encoded(): EncodedPages {
    const { 0: unchanged, 1: zero, 2: fill, 3: dup, 4: delta, 5: novel } = this.#pages;
    const bytes = { residualBytes: this.#totalResidualBytes, encodedBytes: this.#encodedBytes };
    return { zero, fill, dup, delta, novel, unchanged, ...bytes };
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

  /** Ends the batch, so that {@link take} gives everything that has been added. */
  flush(): void {
    this.#encodeChunk();
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
      let room = Math.min(count - done, this.#chunkPages - this.#chunkCount);
      room = this.#withoutCollision(firstPage + done, room);
      if (room === 0) {
        process();
        continue;
      }
      const from = pages.subarray(done * pageBytes, (done + room) * pageBytes);
      this.#chunk.bytes.set(from, this.#chunkCount * pageBytes);
      for (let page = 0; page < room; page++) this.#numbers[this.#chunkCount + page] = firstPage + done + page;
      this.#chunkCount += room;
      done += room;
    }
  }

  /** How many of the pages can join the chunk before one would share a slot with another, or be there twice: within a chunk each has its own. */
  #withoutCollision(firstPage: number, count: number): number {
    const chunks = this.#slotChunks;
    if (chunks.length === 0) return count;
    for (let page = 0; page < count; page++) {
      const slot = (firstPage + page) % chunks.length;
      if (chunks[slot] === this.#chunkNumber) return page;
      chunks[slot] = this.#chunkNumber;
    }
    return count;
  }

  #endChunk(): void {
    this.#chunkCount = 0;
    this.#chunkNumber += 1;
  }

  #holdChunk(): void {
    const count = this.#chunkCount;
    if (count === 0) return;
    const rest = this.#findFilled(count);
    if (this.#duplicates !== undefined) this.#enter(this.#duplicates, count, rest);
    this.#endChunk();
  }

  #encodeChunk(): void {
    const count = this.#chunkCount;
    if (count === 0) return;
    const rest = this.#findFilled(count);
    if (this.#duplicates !== undefined) {
      this.#encodeDeltas(rest);
      this.#enter(this.#duplicates, count, rest);
      this.#nameDuplicates(rest);
    }
    this.#write(count);
    this.#endChunk();
    if (this.#residualBytes >= this.#batchBytes || this.#index.pageCount > BATCH_MAX_PAGES - this.#chunkPages) {
      this.#endBatch();
    }
  }

  /** Gives filled pages their class, `novel` to the others, and lists those; returns how many they are. */
  #findFilled(count: number): number {
    const { pageBytes } = this.#space;
    const chunk = this.#chunk.part(0, count * pageBytes);
    this.#kernels.scan.fill(chunk, pageBytes, this.#filled, this.#words);
    const filled = this.#filled.bytes;
    const words = this.#words.u32;
    let rest = 0;
    for (let local = 0; local < count; local++) {
      if ((((filled[local >> 3] as number) >> (local & 7)) & 1) === 1) {
        const isZero = words[2 * local] === 0 && words[2 * local + 1] === 0;
        this.#classes[local] = isZero ? PageClass.zero : PageClass.fill;
      } else {
        this.#classes[local] = PageClass.novel;
        this.#locals[rest] = local;
        this.#localNumbers[rest] = this.#numbers[local] as number;
        rest += 1;
      }
    }
    return rest;
  }

  #encodeDeltas(rest: number): void {
    const locals = this.#deltaLocals.u32;
    const slots = this.#deltaSlots.u32;
    let count = 0;
    for (let at = 0; at < rest; at++) {
      const page = this.#localNumbers[at] as number;
      if (!this.#cache.holds(page)) continue;
      locals[count] = this.#locals[at] as number;
      slots[count] = this.#cache.slotOf(page);
      count += 1;
    }
    if (count === 0) return;
    this.#kernels.delta.encodeList(
      { pages: this.#cache.pages, numbers: this.#deltaSlots },
      { pages: this.#chunk, numbers: this.#deltaLocals },
      count,
      this.#space.pageBytes,
      this.#payloadLengths,
      this.#payloads,
    );
    const lengths = this.#payloadLengths.i32;
    let offset = 0;
    for (let at = 0; at < count; at++) {
      const local = locals[at] as number;
      const length = lengths[at] as number;
      if (length < 0) continue;
      this.#classes[local] = length === DELTA_UNCHANGED ? SAME : PageClass.delta;
      this.#payloadOffsets[local] = offset;
      this.#payloadBytes[local] = length;
      offset += length;
    }
  }

  /** Brings the cache, and the names of what it holds, to the chunk's content. */
  #enter(duplicates: DuplicateFinder, count: number, rest: number): void {
    const { pageBytes } = this.#space;
    let slots = 0;
    for (let local = 0; local < count; local++) {
      const page = this.#numbers[local] as number;
      const isFilled = this.#classes[local] === PageClass.zero || this.#classes[local] === PageClass.fill;
      if (!isFilled || this.#cache.holds(page)) this.#slots[slots++] = this.#cache.slotOf(page);
    }
    duplicates.remove(this.#slots, slots);
    for (let local = 0; local < count; local++) this.#cache.forget(this.#numbers[local] as number);
    const chunk = this.#chunk.bytes;
    for (let at = 0; at < rest; at++) {
      this.#cache.put(this.#localNumbers[at] as number, chunk, (this.#locals[at] as number) * pageBytes);
    }
    const pages = this.#chunk.part(0, count * pageBytes);
    duplicates.enter(pages, this.#locals, this.#localNumbers, rest, this.#localSources);
  }

  #nameDuplicates(rest: number): void {
    for (let at = 0; at < rest; at++) {
      const local = this.#locals[at] as number;
      if (this.#localSources[at] === this.#localNumbers[at] || this.#classes[local] === SAME) continue;
      this.#classes[local] = PageClass.dup;
      this.#sources[local] = this.#localSources[at] as number;
    }
  }

  #write(count: number): void {
    const { pageBytes } = this.#space;
    const words = this.#words.u32;
    const block = this.#block.bytes;
    const chunk = this.#chunk.bytes;
    const payloads = this.#payloads.bytes;
    let end = this.#residualBytes;
    for (let local = 0; local < count; local++) {
      const page = this.#numbers[local] as number;
      const pageClass = this.#classes[local] as PageClass | typeof SAME;
      this.#pages[pageClass] += 1;
      switch (pageClass) {
        case SAME:
          break;
        case PageClass.zero:
          this.#index.zero(page);
          break;
        case PageClass.fill:
          this.#index.fill(page, words[2 * local] as number, words[2 * local + 1] as number);
          break;
        case PageClass.dup:
          this.#index.dup(page, this.#sources[local] as number);
          break;
        case PageClass.delta: {
          const offset = this.#payloadOffsets[local] as number;
          const length = this.#payloadBytes[local] as number;
          block.set(payloads.subarray(offset, offset + length), end);
          end += length;
          this.#index.delta(page, length);
          break;
        }
        case PageClass.novel:
          block.set(chunk.subarray(local * pageBytes, (local + 1) * pageBytes), end);
          end += pageBytes;
          this.#index.novel(page);
      }
    }
    this.#residualBytes = end;
  }

  #endBatch(): void {
    if (this.#index.pageCount === 0) return;
    const { bytes: index, runCount } = this.#index.take();
    const residualBytes = this.#residualBytes;
    this.#block.bytes.set(index, residualBytes);
    const { codec, bytes } = this.#compressor.compress(this.#block, residualBytes + index.length);
    const batch = encodeBatch({ codec, runCount, residualBytes, indexBytes: index.length }, bytes);
    this.#totalResidualBytes += residualBytes;
    this.#encodedBytes += batch.length;
    this.#residualBytes = 0;
    this.#batches.push(batch);
  }
}
