import { createKernels } from "../../kernel/load.js";
import { BlockCompressor } from "../../page/compression/compressor.js";
import { loadZstd } from "../../page/compression/zstd.js";
import { createPageEncoder, DEFAULT_CACHE_BYTES } from "../../page/create.js";
import type { EncodedPages, PageEncoder } from "../../page/encoder.js";
import { BATCH_HEADER_BYTES, BATCH_MAX_INDEX_BYTES, type Codec } from "../../wire/batch.js";
import { visitChanges } from "./changes.js";
import { ImageFile } from "./image.js";
import { WINDOW_BYTES } from "./source.js";

const PAGE_BYTES = 4096;
const BATCH_BYTES = 1 << 20;
const ZSTD_LEVEL = 1;
const CODECS: readonly Codec[] = ["none", "lz4", "zstd"];

/** Bytes of the batches in which pages would travel, by codec. */
export type CodecBytes = Readonly<Record<Codec, number>>;

/** What pages consist of, in pages of 4 KiB; a last piece of a page counts as one, filled up with zeros. */
export interface PageSummary {
  readonly pages: number;
  readonly zeroPages: number;
  /** One 64-bit word repeated, not zero. */
  readonly fillPages: number;
  /** Equal to another page that is neither zero nor filled, and which travels. */
  readonly duplicatePages: number;
  /** With each page by itself. */
  readonly plainBytes: CodecBytes;
  /** With duplicates found and, where there is an older image, deltas made. */
  readonly encodedBytes: CodecBytes;
}

/** What an image consists of. */
export interface ImageSummary extends PageSummary {
  readonly byteLength: number;
  /** Where there is an older image: the pages that differ from it. */
  readonly changed?: PageSummary;
}

/** Options of {@link summarizeImage}. */
export interface SummaryOptions {
  /** An older image of the same machine. */
  readonly againstPath?: string | undefined;
  readonly signal?: AbortSignal;
  /** Hears how many bytes of how many have been looked at. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Encodes an image's pages as a migration does, and counts. Throws `image`, and the signal's reason. */
export async function summarizeImage(
  path: string,
  { againstPath, signal, onProgress }: SummaryOptions = {},
): Promise<ImageSummary> {
  const image = ImageFile.open(path);
  try {
    const passes = againstPath === undefined ? 1 : 2;
    const listen = (pass: number) => (done: number, total: number) => onProgress?.(pass * total + done, passes * total);
    const all = { byteLength: image.byteLength, ...(await summarize(undefined, image, signal, listen(0))) };
    if (againstPath === undefined) return all;
    const older = ImageFile.open(againstPath);
    try {
      return { ...all, changed: await summarize(older, image, signal, listen(1)) };
    } finally {
      older.close();
    }
  } finally {
    image.close();
  }
}

async function summarize(
  base: ImageFile | undefined,
  image: ImageFile,
  signal: AbortSignal | undefined,
  onProgress: (done: number, total: number) => void,
): Promise<PageSummary> {
  const pageCount = Math.ceil(image.byteLength / PAGE_BYTES);
  const windows = Math.ceil(image.byteLength / WINDOW_BYTES);
  const segmentBytes = Math.max(1, Math.min(windows, DEFAULT_CACHE_BYTES / WINDOW_BYTES)) * WINDOW_BYTES;
  const sizes = await BatchSizes.create();
  const open = (cacheBytes: number): Promise<PageEncoder> =>
    createPageEncoder({ pageBytes: PAGE_BYTES, pageCount, compression: "none", batchBytes: BATCH_BYTES, cacheBytes });
  const plain = await open(0);
  const encoder = await open(segmentBytes);
  const plainBytes = { none: 0, lz4: 0, zstd: 0 };
  const encodedBytes = { none: 0, lz4: 0, zstd: 0 };
  const count = (): void => {
    sizes.addBatches(plain, plainBytes);
    sizes.addBatches(encoder, encodedBytes);
  };
  const options = { pageBytes: PAGE_BYTES, segmentBytes, signal, onProgress };
  const pages = await visitChanges(base, image, options, {
    base: (firstPage, bytes) => encoder.hold(firstPage, bytes),
    changed: (firstPage, bytes) => {
      plain.add(firstPage, bytes);
      encoder.add(firstPage, bytes);
      count();
    },
  });
  plain.flush();
  encoder.flush();
  count();
  const { zero, fill, dup }: EncodedPages = encoder.encoded;
  return { pages, zeroPages: zero, fillPages: fill, duplicatePages: dup, plainBytes, encodedBytes };
}

/** Compresses batches with each codec, to know how long they would be. */
class BatchSizes {
  readonly #compress: (codec: Codec, block: Uint8Array) => number;

  private constructor(compress: (codec: Codec, block: Uint8Array) => number) {
    this.#compress = compress;
  }

  static async create(): Promise<BatchSizes> {
    const kernels = await createKernels();
    const zstd = await loadZstd();
    const maxBytes = BATCH_BYTES + (BATCH_BYTES >> 1) + BATCH_MAX_INDEX_BYTES;
    const input = kernels.arena.allocate(maxBytes);
    const compressors = Object.fromEntries(
      CODECS.map((codec) => [codec, new BlockCompressor(kernels, maxBytes, codec, zstd, ZSTD_LEVEL)]),
    ) as Record<Codec, BlockCompressor>;
    return new BatchSizes((codec, block) => {
      input.bytes.set(block);
      return compressors[codec].compress(input, block.length).bytes.length;
    });
  }

  /** Takes the encoder's finished batches, none of them compressed, and adds their lengths. */
  addBatches(encoder: PageEncoder, bytes: Record<Codec, number>): void {
    for (let batch = encoder.take(); batch !== undefined; batch = encoder.take()) {
      const block = batch.subarray(BATCH_HEADER_BYTES);
      for (const codec of CODECS) bytes[codec] += BATCH_HEADER_BYTES + this.#compress(codec, block);
    }
  }
}
