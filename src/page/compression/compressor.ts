import type { Kernels } from "../../kernel/load.js";
import { lz4Bound } from "../../kernel/lz4.js";
import type { Span } from "../../kernel/span.js";
import { BATCH_HEADER_BYTES, type Codec } from "../../wire/batch.js";
import { CompressionChoice } from "./choice.js";
import { loadZstd, type Zstd } from "./zstd.js";

/** How blocks are compressed; `auto` takes the codec that finishes soonest on the measured link. */
export type Compression = Codec | "auto";

/** Loading zstd takes up to 0.2 s: what is over sooner than this would not win it back … */
const ZSTD_LOADED_AFTER_MS = 2000;
/** … but a link that leaves zstd the time that it takes, some times LZ4's, has work for it as soon as that is certain. */
const ZSTD_LOADED_EARLY_AFTER_MS = 500;
const ZSTD_SLOWDOWN = 8;
/** How much of a block is tried with another codec, to know what it would do. */
const SAMPLE_BYTES = 64 << 10;

/** Shorter blocks say nothing of a codec: the call takes longer than the bytes. */
const LEAST_OBSERVED_BYTES = 16 << 10;

/** A block as it travels. */
export interface CompressedBlock {
  readonly codec: Codec;
  /** The compressor's own until its next block, or the block itself. In the compressor's memory there is room for a header before it. */
  readonly bytes: Uint8Array;
}

/** Compresses blocks, and measures what each codec does with them. */
export class BlockCompressor {
  /** Where the compression is `auto`: what chooses the codec, to be told the link's rate. */
  readonly choice: CompressionChoice | undefined;
  readonly #kernels: Kernels;
  readonly #codec: Codec;
  #zstd: Zstd | undefined;
  #loading: Promise<void> | undefined;
  /** When zstd would have been tried for the first time. */
  #firstMs: number | undefined;
  readonly #zstdLevel: number;
  readonly #state: Span;
  readonly #output: Span;

  /** For blocks of at most `maxBytes` bytes; `zstd` is needed where the compression is zstd. `auto` loads it when the link asks for it. */
  constructor(kernels: Kernels, maxBytes: number, compression: Compression, zstd: Zstd | undefined, zstdLevel: number) {
    this.#kernels = kernels;
    this.#codec = compression === "auto" ? "lz4" : compression;
    this.choice = compression === "auto" ? new CompressionChoice() : undefined;
    this.#zstd = zstd;
    this.#zstdLevel = zstdLevel;
    this.#state = kernels.lz4.state();
    const bound = lz4Bound(maxBytes);
    this.#output = kernels.arena.allocate(BATCH_HEADER_BYTES + bound).part(BATCH_HEADER_BYTES, bound);
  }

  /** Compresses the first `byteLength` bytes of the block; what does not get smaller stays as it is. */
  compress(block: Span, byteLength: number): CompressedBlock {
    const sample = this.choice?.wantsSample();
    if (sample === "zstd" && this.#zstd === undefined) this.#loadZstd();
    else if (sample !== undefined) this.#run(sample, block, Math.min(byteLength, SAMPLE_BYTES));
    const codec = this.choice?.choose() ?? this.#codec;
    const bytes = this.#run(codec, block, byteLength);
    if (bytes.length >= byteLength) return { codec: "none", bytes: block.bytes.subarray(0, byteLength) };
    return { codec, bytes };
  }

  /** Where it cannot be had, the other codecs do. */
  #loadZstd(): void {
    this.#firstMs ??= performance.now();
    const isSlow = this.choice?.isLinkSlowerThan("lz4", ZSTD_SLOWDOWN) === true;
    if (performance.now() - this.#firstMs < (isSlow ? ZSTD_LOADED_EARLY_AFTER_MS : ZSTD_LOADED_AFTER_MS)) return;
    this.#loading ??= loadZstd().then(
      (zstd) => {
        this.#zstd = zstd;
      },
      () => {},
    );
  }

  #run(codec: Codec, block: Span, byteLength: number): Uint8Array {
    const start = performance.now();
    const bytes = this.#encode(codec, block, byteLength);
    if (byteLength >= LEAST_OBSERVED_BYTES) {
      this.choice?.observe(codec, byteLength, bytes.length, (performance.now() - start) / 1000);
    }
    return bytes;
  }

  #encode(codec: Codec, block: Span, byteLength: number): Uint8Array {
    switch (codec) {
      case "none":
        return block.bytes.subarray(0, byteLength);
      case "lz4":
        return this.#output.bytes.subarray(0, this.#kernels.lz4.compress(block, byteLength, this.#output, this.#state));
      case "zstd":
        return this.#keep((this.#zstd as Zstd).compress(block.bytes.subarray(0, byteLength), this.#zstdLevel));
    }
  }

  /** Copies what fits to where there is room before it; what does not will not be used. */
  #keep(bytes: Uint8Array): Uint8Array {
    const output = this.#output.bytes;
    if (bytes.length > output.length) return bytes;
    output.set(bytes);
    return output.subarray(0, bytes.length);
  }
}
