import { loadChecksum } from "../../wire/checksum.js";
import { type DiffReport, writeDifference } from "./difference.js";
import type { LeafCache } from "./leaf-cache.js";
import { LeafDigests } from "./leaf-digests.js";
import { OutputFile } from "./output.js";
import { PatchWriter } from "./patch.js";
import type { ImageSource } from "./source.js";

/** Options of {@link writePatch}. */
export interface WritePatchOptions {
  readonly overwrite: boolean;
  readonly cacheBytes: number;
  readonly leafCache: LeafCache | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((done: number, total: number) => void) | undefined;
  /** Throws where what was found is not to be a patch. */
  readonly check?: (report: DiffReport) => void;
}

/** Writes the patch that makes one image of another. It appears at its path whole or not at all. Throws `image`, the signal's reason, and what `check` does. */
export async function writePatch(
  base: ImageSource,
  next: ImageSource,
  path: string,
  { overwrite, cacheBytes, leafCache, signal, onProgress, check }: WritePatchOptions,
): Promise<DiffReport> {
  const checksum = await loadChecksum();
  const output = new OutputFile(path, overwrite);
  try {
    const leaves = { base: new LeafDigests(base.byteLength), next: new LeafDigests(next.byteLength) };
    const report = await writeDifference(base, next, new PatchWriter(output, checksum), {
      cacheBytes,
      onLeaf: (image, digest) => leaves[image].add(digest),
      signal,
      onProgress,
    });
    check?.(report);
    output.commit();
    await leafCache?.keep(leaves.base);
    await leafCache?.keep(leaves.next);
    return report;
  } finally {
    output.discard();
  }
}
