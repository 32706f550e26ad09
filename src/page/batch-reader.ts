import { createKernels, type Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import { PageClass } from "../wire/batch.js";
import { BatchIndex } from "../wire/batch-index.js";
import { BatchBlock, batchFault } from "./batch-block.js";
import { PageError } from "./errors.js";

/** Is told of the pages of a batch, one by one, in the batch's order. Bytes are counted in the residual stream. */
export interface BatchVisitor {
  /** The halves of the 64-bit word that is repeated, as little-endian numbers; of a zero page both are 0. */
  fill(page: number, low: number, high: number): void;
  /** The page holds what another does, as that is at this moment. */
  dup(page: number, sourcePage: number): void;
  delta(page: number, fromByte: number, byteLength: number): void;
  novel(page: number, fromByte: number): void;
  same(page: number): void;
}

/** Reads what batches say of single pages, and trusts none of it; what the pages come to is the caller's to put together. */
export class BatchReader {
  readonly #kernels: Kernels;
  readonly #pageBytes: number;
  readonly #block: BatchBlock;
  readonly #index = new BatchIndex();
  readonly #page: Span;
  readonly #payload: Span;

  private constructor(kernels: Kernels, pageBytes: number) {
    this.#kernels = kernels;
    this.#pageBytes = pageBytes;
    this.#block = new BatchBlock(kernels, undefined);
    this.#page = kernels.arena.allocatePages(1, pageBytes);
    this.#payload = kernels.arena.allocatePages(1, pageBytes);
  }

  /** A reader in kernels of its own, for pages of so many bytes. Throws `argument`. */
  static async create(pageBytes: number): Promise<BatchReader> {
    return new BatchReader(await createKernels(), pageBytes);
  }

  /** Loads what the batch needs. Throws `batch-malformed`, `zstd-missing`. */
  async prepareFor(batch: Uint8Array): Promise<void> {
    try {
      await this.#block.prepareFor(batch);
    } catch (error) {
      throw batchFault(error);
    }
  }

  /**
   * Tells of all pages of a batch, of a machine of `pageCount` pages, and returns its residual stream: a view that holds until the next call. Throws
   * `batch-malformed` before the visitor is told anything, and what the visitor throws.
   */
  read(batch: Uint8Array, pageCount: number, visitor: BatchVisitor): Uint8Array {
    const residualBytes = this.#decompress(batch, pageCount);
    this.#visit(residualBytes, visitor);
    return this.#block.span.bytes.subarray(0, residualBytes);
  }

  /** Only the residual stream of a batch that was read before; a view that holds until the next call. Throws `batch-malformed`. */
  residual(batch: Uint8Array): Uint8Array {
    try {
      const { residualBytes } = this.#block.decompress(batch);
      return this.#block.span.bytes.subarray(0, residualBytes);
    } catch (error) {
      throw batchFault(error);
    }
  }

  /** Turns the older version of a page into the newer one. Throws `batch-malformed`, with the page as it was. */
  applyDelta(payload: Uint8Array, page: Uint8Array): void {
    try {
      this.#payload.bytes.set(payload);
      this.#page.bytes.set(page);
      this.#kernels.delta.decode(this.#payload, payload.length, this.#page, this.#pageBytes);
      page.set(this.#page.bytes);
    } catch (error) {
      throw batchFault(error);
    }
  }

  #decompress(batch: Uint8Array, pageCount: number): number {
    try {
      const header = this.#block.decompress(batch);
      const { residualBytes, indexBytes } = header;
      const index = this.#block.span.bytes.subarray(residualBytes, residualBytes + indexBytes);
      this.#index.read(index, header, pageCount, this.#pageBytes);
      if (this.#index.pagesBytes < residualBytes) {
        throw new PageError(
          "batch-malformed",
          "A batch of pages is malformed: its residual stream is longer than its pages.",
        );
      }
      return residualBytes;
    } catch (error) {
      throw batchFault(error);
    }
  }

  #visit(residualBytes: number, visitor: BatchVisitor): void {
    const { classes, firstPages, pageCounts, sourcePages, wordOffsets, payloadBytes } = this.#index;
    const { bytes } = this.#block.span;
    const words = new DataView(bytes.buffer, bytes.byteOffset + residualBytes);
    let residual = 0;
    let payload = 0;
    for (let run = 0; run < this.#index.runCount; run++) {
      const first = firstPages[run] as number;
      const end = first + (pageCounts[run] as number);
      switch (classes[run]) {
        case PageClass.zero:
          for (let page = first; page < end; page++) visitor.fill(page, 0, 0);
          break;
        case PageClass.fill: {
          const at = wordOffsets[run] as number;
          const [low, high] = [words.getUint32(at, true), words.getUint32(at + 4, true)];
          for (let page = first; page < end; page++) visitor.fill(page, low, high);
          break;
        }
        case PageClass.dup: {
          const distance = (sourcePages[run] as number) - first;
          for (let page = first; page < end; page++) visitor.dup(page, page + distance);
          break;
        }
        case PageClass.delta:
          for (let page = first; page < end; page++) {
            const length = payloadBytes[payload++] as number;
            visitor.delta(page, residual, length);
            residual += length;
          }
          break;
        case PageClass.novel:
        case PageClass.passing:
          for (let page = first; page < end; page++) {
            visitor.novel(page, residual);
            residual += this.#pageBytes;
          }
          break;
        case PageClass.same:
          for (let page = first; page < end; page++) visitor.same(page);
      }
    }
  }
}
