import { createPageEncoder, DEFAULT_CACHE_BYTES } from "../../page/create.js";
import type { EncodedPages } from "../../page/encoder.js";
import { visitChanges, type WindowComparison } from "./changes.js";
import { ImageDigest, LEAF_BYTES } from "./digest.js";
import { ImageFile, WINDOW_BYTES } from "./image.js";
import { type PatchHeader, PatchWriter } from "./patch.js";

const PAGE_BYTES = 4096;
/** Large batches: nobody waits for the first, and zstd finds more. */
const BATCH_BYTES = 4 << 20;
const ZSTD_LEVEL = 1;

/** Options of {@link diffImages}. */
export interface DiffOptions {
  /** Whether a file at the patch's path may be replaced. Default: no. */
  readonly overwrite?: boolean;
  /** Memory for the base's pages, a multiple of 1 MiB: deltas and dups are made against so much at a time. Default 512 MiB. */
  readonly cacheBytes?: number;
  /** Stops the work; nothing is left of it. */
  readonly signal?: AbortSignal;
  /** Hears how many bytes of how many have been looked at. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** What a patch consists of. */
export interface DiffReport extends PatchHeader {
  /** The changed pages by their classes. */
  readonly pages: Omit<EncodedPages, "residualBytes" | "encodedBytes" | "unchanged">;
}

/**
 * Makes a patch from which {@link applyPatch} makes the image `nextPath` of the image `basePath`. The patch appears at its path whole or not at all.
 * Throws `image`, and the signal's reason.
 */
export async function diffImages(
  basePath: string,
  nextPath: string,
  patchPath: string,
  { overwrite = false, cacheBytes = DEFAULT_CACHE_BYTES, signal, onProgress }: DiffOptions = {},
): Promise<DiffReport> {
  const base = ImageFile.open(basePath);
  try {
    const next = ImageFile.open(nextPath);
    try {
      const patch = await PatchWriter.create(patchPath, overwrite);
      try {
        return await writePatch(base, next, patch, cacheBytes, { signal, onProgress });
      } finally {
        patch.discard();
      }
    } finally {
      next.close();
    }
  } finally {
    base.close();
  }
}

async function writePatch(
  base: ImageFile,
  next: ImageFile,
  patch: PatchWriter,
  cacheBytes: number,
  { signal, onProgress }: { signal: AbortSignal | undefined; onProgress: DiffOptions["onProgress"] },
): Promise<DiffReport> {
  const pageCount = Math.ceil(next.byteLength / PAGE_BYTES);
  const imageBytes = Math.ceil(next.byteLength / WINDOW_BYTES) * WINDOW_BYTES;
  const segmentBytes = Math.max(WINDOW_BYTES, Math.min(cacheBytes, imageBytes));
  const encoder = await createPageEncoder({
    pageBytes: PAGE_BYTES,
    pageCount,
    compression: "zstd",
    zstdLevel: ZSTD_LEVEL,
    batchBytes: BATCH_BYTES,
    cacheBytes: segmentBytes,
  });
  const digests = new PairDigest(base.byteLength, next.byteLength);
  const writeBatches = (): void => {
    for (let batch = encoder.take(); batch !== undefined; batch = encoder.take()) patch.add(batch);
  };
  const options = { pageBytes: PAGE_BYTES, segmentBytes, signal, onProgress };
  const changedPages = await visitChanges(base, next, options, {
    window: (before, now, comparison) => digests.add(before, now, comparison),
    base: (firstPage, pages) => encoder.hold(firstPage, pages),
    changed: (firstPage, pages) => {
      encoder.add(firstPage, pages);
      writeBatches();
    },
  });
  encoder.flush();
  writeBatches();
  const { zero, fill, dup, delta, novel } = encoder.encoded;
  const header = {
    base: { byteLength: base.byteLength, digest: digests.base.finish() },
    next: { byteLength: next.byteLength, digest: digests.next.finish() },
    pageBytes: PAGE_BYTES,
    changedPages,
  };
  return { ...patch.commit(header), pages: { zero, fill, dup, delta, novel } };
}

/** The digests of two images, made together: leaves that are equal are hashed once. */
class PairDigest {
  readonly base: ImageDigest;
  readonly next: ImageDigest;
  #baseLeaves: number;
  #nextLeaves: number;

  constructor(baseBytes: number, nextBytes: number) {
    this.base = new ImageDigest(baseBytes);
    this.next = new ImageDigest(nextBytes);
    this.#baseLeaves = Math.ceil(baseBytes / LEAF_BYTES);
    this.#nextLeaves = Math.ceil(nextBytes / LEAF_BYTES);
  }

  /** Takes a window of each image. */
  add(before: Uint8Array, now: Uint8Array, comparison: WindowComparison): void {
    for (let at = 0; at < before.length; at += LEAF_BYTES) {
      const hasBase = this.#baseLeaves-- > 0;
      const hasNext = this.#nextLeaves-- > 0;
      if (comparison === "zero") {
        if (hasBase) this.base.addZeros();
        if (hasNext) this.next.addZeros();
        continue;
      }
      const left = before.subarray(at, at + LEAF_BYTES);
      const right = now.subarray(at, at + LEAF_BYTES);
      const digest = hasBase ? this.base.add(left) : undefined;
      if (!hasNext) continue;
      const isEqual = comparison === "equal" || Buffer.compare(left, right) === 0;
      if (digest !== undefined && isEqual) this.next.addDigest(digest);
      else this.next.add(right);
    }
  }
}
