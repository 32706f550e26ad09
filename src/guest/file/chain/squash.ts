import { DEFAULT_CACHE_BYTES } from "../../../page/create.js";
import { GuestError } from "../../errors.js";
import type { DiffReport } from "../difference.js";
import type { LeafCache } from "../leaf-cache.js";
import { malformed } from "../patch.js";
import { writePatch } from "../write-patch.js";
import { Chain, type ChainLink, ofPatch } from "./chain.js";
import { ChainReader } from "./chain-reader.js";

/** The steps that take time, in their order. */
export type SquashStep = "reading the patches" | "comparing the images";

/** Options of {@link squashPatches}. */
export interface SquashOptions {
  /** Whether a file at the new patch's path, be it one of the old ones, may be replaced. Default: no. */
  readonly overwrite?: boolean;
  /** As {@link DiffOptions} has it. */
  readonly leafCache?: LeafCache;
  /** Stops the work; nothing is left of it. */
  readonly signal?: AbortSignal;
  /** Hears which step it is, and how much of how much is done. */
  readonly onProgress?: (step: SquashStep, done: number, total: number) => void;
}

/**
 * Makes one patch of several that follow each other: from the base at once to the last image. It appears at its path, when both images have been compared with
 * what the patches promise, or not at all. Throws `patch-base`, `patch-malformed`, `image`, and the signal's reason.
 */
export async function squashPatches(
  basePath: string,
  patchPaths: readonly string[],
  outputPath: string,
  { overwrite = false, leafCache, signal, onProgress }: SquashOptions = {},
): Promise<DiffReport> {
  const chain = await Chain.open(basePath, patchPaths);
  try {
    const { base } = chain;
    const next = await ChainReader.open(chain, base, (done, total) => {
      onProgress?.("reading the patches", done, total);
      signal?.throwIfAborted();
    });
    return await writePatch(base, next, outputPath, {
      overwrite,
      cacheBytes: DEFAULT_CACHE_BYTES,
      leafCache,
      signal,
      onProgress: (done, total) => onProgress?.("comparing the images", done, total),
      check: (report) => check(chain, report),
    });
  } finally {
    chain.close();
  }
}

function check({ base, links, digest }: Chain, report: DiffReport): void {
  const [first, last] = [links[0] as ChainLink, links.at(-1) as ChainLink];
  if (report.base.digest !== first.header.base.digest) {
    throw new GuestError("patch-base", `${first.path} was made from another image than ${base.path}.`);
  }
  if (report.next.digest !== digest) {
    throw ofPatch(last.path, malformed("with those before it, it does not make the image that it promises"));
  }
}
