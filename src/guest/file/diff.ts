import { DEFAULT_CACHE_BYTES } from "../../page/create.js";
import type { DiffReport } from "./difference.js";
import { ImageFile } from "./image.js";
import type { LeafCache } from "./leaf-cache.js";
import { writePatch } from "./write-patch.js";

/** Options of {@link diffImages}. */
export interface DiffOptions {
  /** Whether a file at the patch's path may be replaced. Default: no. */
  readonly overwrite?: boolean;
  /** Memory for the base's pages, a multiple of 1 MiB: deltas and dups are made against so much at a time. Default 512 MiB. */
  readonly cacheBytes?: number;
  /** Keeps what {@link mountImage} checks parts of the two images with, so that it need not read the base for that. Default: it is not kept. */
  readonly leafCache?: LeafCache;
  /** Stops the work; nothing is left of it. */
  readonly signal?: AbortSignal;
  /** Hears how many bytes of how many have been looked at. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Makes a patch from which {@link applyPatch} makes the image `nextPath` of the image `basePath`. The patch appears at its path whole or not at all.
 * Throws `image`, and the signal's reason.
 */
export async function diffImages(
  basePath: string,
  nextPath: string,
  patchPath: string,
  { overwrite = false, cacheBytes = DEFAULT_CACHE_BYTES, leafCache, signal, onProgress }: DiffOptions = {},
): Promise<DiffReport> {
  const base = ImageFile.open(basePath);
  try {
    const next = ImageFile.open(nextPath);
    try {
      return await writePatch(base, next, patchPath, { overwrite, cacheBytes, leafCache, signal, onProgress });
    } finally {
      next.close();
    }
  } finally {
    base.close();
  }
}
