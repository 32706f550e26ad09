import { DEFAULT_MOST_READS } from "./budget.js";
import { Chain } from "./chain.js";
import { ChainReader } from "./chain-reader.js";
import type { PatchIndex } from "./patch-index.js";

/** What one patch of a chain holds. */
export interface LinkSummary {
  readonly path: string;
  readonly patchBytes: number;
  readonly changedPages: number;
  /** Those of them that no later patch changes again. */
  readonly alivePages: number;
}

/** What a chain of patches holds, and what it takes to read it. */
export interface ChainSummary {
  /** Of the last image. */
  readonly byteLength: number;
  readonly pageBytes: number;
  readonly baseBytes: number;
  readonly patches: readonly LinkSummary[];
  /** Bytes of the base and all patches. */
  readonly storedBytes: number;
  /** Of the base and the image after each patch, as images. */
  readonly rawBytes: number;
  /** Of the base and one patch in the place of all: an estimate, by the pages that are alive. */
  readonly squashedBytes: number;
  /** How many pages take 0, 1, 2 … reads, each of the base or of one batch of a patch. */
  readonly pagesByReads: readonly number[];
  readonly mostReads: number;
  /** Pages that take more than that; a mount reads them beforehand. */
  readonly pagesBeyond: number;
}

/** Options of {@link summarizeChain}. */
export interface ChainSummaryOptions {
  /** The budget of reads for one page. Default 4. */
  readonly mostReads?: number | undefined;
  readonly signal?: AbortSignal;
  /** Hears how many batches of how many have been read. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Reads the patches of a chain, but not the base. Throws `patch-base`, `patch-malformed`, `image`, and the signal's reason. */
export async function summarizeChain(
  basePath: string,
  patchPaths: readonly string[],
  { mostReads = DEFAULT_MOST_READS, signal, onProgress }: ChainSummaryOptions = {},
): Promise<ChainSummary> {
  const chain = await Chain.open(basePath, patchPaths);
  try {
    const reader = await ChainReader.open(chain, chain.base, (done, total) => {
      onProgress?.(done, total);
      signal?.throwIfAborted();
    });
    const damage = reader.damage;
    if (damage !== undefined) throw damage;
    return summarize(chain, reader, mostReads);
  } finally {
    chain.close();
  }
}

function summarize({ base, links }: Chain, reader: ChainReader, mostReads: number): ChainSummary {
  const { byteLength, pageBytes, pageCount, indices } = reader;
  const alivePages = indices.map(() => 0);
  const pagesByReads: number[] = [0];
  const count = (reads: number, pages: number): void => {
    while (pagesByReads.length <= reads) pagesByReads.push(0);
    pagesByReads[reads] = (pagesByReads[reads] as number) + pages;
  };
  let changedPages = 0;
  for (let page = reader.nextChanged(0); page < pageCount; page = reader.nextChanged(page + 1)) {
    let newest = indices.length - 1;
    while (newest >= 0 && (indices[newest] as PatchIndex).places.find(page) < 0) newest -= 1;
    if (newest >= 0) alivePages[newest] = (alivePages[newest] as number) + 1;
    count(reader.readsOf(page), 1);
    changedPages += 1;
  }
  count(1, pageCount - changedPages);
  const patches = links.map(({ path, header }, index): LinkSummary => {
    const { patchBytes, changedPages } = header;
    return { path, patchBytes, changedPages, alivePages: alivePages[index] as number };
  });
  const sum = (numbers: readonly number[]): number =>
    numbers.reduce((total, number) => total + number, base.byteLength);
  return {
    byteLength,
    pageBytes,
    baseBytes: base.byteLength,
    patches,
    storedBytes: sum(patches.map(({ patchBytes }) => patchBytes)),
    rawBytes: sum(links.map(({ header }) => header.next.byteLength)),
    squashedBytes: sum(patches.map(estimateAlive)),
    pagesByReads,
    mostReads,
    pagesBeyond: pagesByReads.slice(mostReads + 1).reduce((total, pages) => total + pages, 0),
  };
}

function estimateAlive({ patchBytes, changedPages, alivePages }: LinkSummary): number {
  return changedPages === 0 ? 0 : Math.round((patchBytes * alivePages) / changedPages);
}
