import { KernelError } from "../kernel/errors.js";
import type { Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import {
  BATCH_HEADER_BYTES,
  BATCH_MAX_INDEX_BYTES,
  BATCH_MAX_RESIDUAL_BYTES,
  type BatchHeader,
  decodeBatchHeader,
} from "../wire/batch.js";
import { WireError } from "../wire/errors.js";
import { loadZstd, type Zstd } from "./compression/zstd.js";
import { PageError } from "./errors.js";

const MAX_BLOCK_BYTES = BATCH_MAX_RESIDUAL_BYTES + BATCH_MAX_INDEX_BYTES;

/** The block of one batch, decompressed: the residual stream, and the index behind it. It is used again for the next batch. */
export class BatchBlock {
  /** What was decompressed last stands at the beginning. */
  readonly span: Span;
  readonly #kernels: Kernels;
  readonly #input: Span;
  #zstd: Zstd | undefined;

  constructor(kernels: Kernels, zstd: Zstd | undefined) {
    this.#kernels = kernels;
    this.#zstd = zstd;
    this.#input = kernels.arena.allocate(MAX_BLOCK_BYTES);
    this.span = kernels.arena.allocate(MAX_BLOCK_BYTES);
  }

  /** Loads zstd where the batch needs it. Throws `zstd-missing`, and what {@link batchFault} makes an error of a batch. */
  async prepareFor(batch: Uint8Array): Promise<void> {
    if (decodeBatchHeader(batch).codec === "zstd") this.#zstd ??= await loadZstd();
  }

  /** Returns the batch's header. Throws `zstd-missing`, and what {@link batchFault} makes an error of a batch. */
  decompress(batch: Uint8Array): BatchHeader {
    const header = decodeBatchHeader(batch);
    const { codec, residualBytes, indexBytes } = header;
    const input = batch.subarray(BATCH_HEADER_BYTES);
    const blockBytes = residualBytes + indexBytes;
    // No codec's output is ever larger than the block: what does not shrink travels as it is.
    if (codec === "none" ? input.length !== blockBytes : input.length >= blockBytes) {
      throw new PageError(
        "batch-malformed",
        "A batch of pages is malformed: its block does not have the length it says.",
      );
    }
    switch (codec) {
      case "none":
        this.span.bytes.set(input);
        break;
      case "lz4":
        this.#input.bytes.set(input);
        this.#kernels.lz4.decompress(this.#input, input.length, this.span, blockBytes);
        break;
      case "zstd":
        if (this.#zstd === undefined) throw new PageError("zstd-missing", "A batch came in zstd, which is not loaded.");
        this.span.bytes.set(this.#zstd.decompress(input, blockBytes));
    }
    return header;
  }
}

/** An error of the floors below, from reading a batch, as `batch-malformed`; other errors stay what they are. */
export function batchFault(error: unknown): unknown {
  const isZstd = error instanceof PageError && error.code === "zstd-malformed";
  if (!(isZstd || error instanceof WireError || error instanceof KernelError)) return error;
  return new PageError("batch-malformed", error.message, { cause: error });
}
