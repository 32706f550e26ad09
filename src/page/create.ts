import { createKernels } from "../kernel/load.js";
import { loadZstd } from "./compression/zstd.js";
import { PageDecoder, type PageDecoderOptions, type PageStore } from "./decoder.js";
import { PageEncoder, type PageEncoderOptions } from "./encoder.js";
import { fittingCacheBytes, type PageSpace } from "./limits.js";

/** The most that a cache takes unless told otherwise. */
export const DEFAULT_CACHE_BYTES: number = 512 << 20;
const DEFAULT_BATCH_BYTES = 1 << 20;
const DEFAULT_ZSTD_LEVEL = 1;

/**
 * An encoder in kernels of its own. Unless told otherwise it compresses with LZ4, keeps a cache as large as all pages but at most 512 MiB, and
 * makes batches of about 1 MiB.
 */
export async function createPageEncoder(options: PageSpace & Partial<PageEncoderOptions>): Promise<PageEncoder> {
  const { compression = "lz4", batchBytes = DEFAULT_BATCH_BYTES, zstdLevel = DEFAULT_ZSTD_LEVEL } = options;
  const { pageBytes, pageCount, cacheBytes = fittingCacheBytes(options, DEFAULT_CACHE_BYTES) } = options;
  const zstd = compression === "zstd" ? await loadZstd() : undefined;
  return new PageEncoder(
    await createKernels(),
    { ...options, pageBytes, pageCount, compression, cacheBytes, batchBytes, zstdLevel },
    zstd,
  );
}

/**
 * A decoder in kernels of its own. Unless told otherwise it expects LZ4, as the encoder sends it, and the store's own pages are what deltas are
 * made against.
 */
export async function createPageDecoder(
  store: PageStore,
  options: PageSpace & Partial<PageDecoderOptions> & Pick<Partial<PageEncoderOptions>, "compression">,
): Promise<PageDecoder> {
  const { pageBytes, pageCount, cacheBytes = 0, compression = "lz4" } = options;
  const zstd = compression === "zstd" || compression === "auto" ? await loadZstd() : undefined;
  return new PageDecoder(await createKernels(), store, { pageBytes, pageCount, cacheBytes }, zstd);
}
