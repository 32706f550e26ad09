import { createPageEncoder } from "../../page/create.js";
import type { EncodedPages } from "../../page/encoder.js";
import { equalBytes } from "./bytes.js";
import { visitChanges, type WindowComparison } from "./changes.js";
import { ImageDigest } from "./digest.js";
import type { PatchHeader, PatchWriter } from "./patch.js";
import { type Digest, sha256 } from "./sha256.js";
import { type ImageSource, LEAF_BYTES, WINDOW_BYTES } from "./source.js";

const PAGE_BYTES = 4096;
/** Large batches: nobody waits for the first, and zstd finds more. */
const BATCH_BYTES = 4 << 20;
const ZSTD_LEVEL = 1;

/** What a patch consists of. */
export interface DiffReport extends PatchHeader {
  /** The changed pages by their classes. */
  readonly pages: Omit<EncodedPages, "residualBytes" | "encodedBytes" | "unchanged">;
}

/** Options of {@link writeDifference}. */
export interface DifferenceOptions {
  /** Memory for the base's pages: deltas and dups are made against so much at a time. */
  readonly cacheBytes: number;
  /** Gets the digest of each 64 KiB of the two images, in order, as their digests are made of them. */
  readonly onLeaf?: (image: "base" | "next", digest: Digest) => void;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Writes the patch that makes one image of another. Throws what the images and the patch's output do, and the signal's reason. */
export async function writeDifference(
  base: ImageSource,
  next: ImageSource,
  patch: PatchWriter,
  { cacheBytes, onLeaf = () => undefined, signal, onProgress }: DifferenceOptions,
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
  const digests = new PairDigest(base.byteLength, next.byteLength, onLeaf);
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
    base: { byteLength: base.byteLength, digest: await digests.base.finish() },
    next: { byteLength: next.byteLength, digest: await digests.next.finish() },
    pageBytes: PAGE_BYTES,
    changedPages,
  };
  return { ...patch.finish(header), pages: { zero, fill, dup, delta, novel } };
}

/** The digests of two images, made together: leaves that are equal are hashed once. */
class PairDigest {
  readonly base: ImageDigest;
  readonly next: ImageDigest;
  #baseLeaves: number;
  #nextLeaves: number;

  constructor(baseBytes: number, nextBytes: number, onLeaf: NonNullable<DifferenceOptions["onLeaf"]>) {
    this.base = new ImageDigest(baseBytes, sha256(), (digest) => onLeaf("base", digest));
    this.next = new ImageDigest(nextBytes, sha256(), (digest) => onLeaf("next", digest));
    this.#baseLeaves = Math.ceil(baseBytes / LEAF_BYTES);
    this.#nextLeaves = Math.ceil(nextBytes / LEAF_BYTES);
  }

  /** Takes a window of each image; returns the last digest of them, to be waited for, so that no more leaves than these wait for theirs. */
  add(before: Uint8Array, now: Uint8Array, comparison: WindowComparison): Digest | undefined {
    let last: Digest | undefined;
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
      last = digest ?? last;
      if (!hasNext) continue;
      const isEqual = comparison === "equal" || equalBytes(left, right);
      if (digest !== undefined && isEqual) this.next.addDigest(digest);
      else last = this.next.add(right);
    }
    return last;
  }
}
