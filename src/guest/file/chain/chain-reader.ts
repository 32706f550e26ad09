import { BatchReader } from "../../../page/batch-reader.js";
import { PageError } from "../../../page/errors.js";
import { GuestError } from "../../errors.js";
import { malformed } from "../patch.js";
import type { ImageSource } from "../source.js";
import { BatchCache } from "./batch-cache.js";
import { type Chain, type ChainLink, inPatch, ofPatch } from "./chain.js";
import { PatchIndex } from "./patch-index.js";
import { MAX_PLACES, PlaceKind } from "./places.js";

/** Where a page's content begins: a page of the base, a place in a patch, or nothing (zeros). */
type Origin = { readonly patch: number; readonly at: number } | { readonly basePage: number } | "zeros";

/** What is done to it from there on: a delta, or what lies behind the end of an image cut off. */
type Step = { readonly patch: number; readonly at: number } | { readonly keptBytes: number };

/** The newest step stands first. */
interface PagePath {
  readonly origin: Origin;
  readonly steps: readonly Step[];
}

/** The last image of a chain, of which any page can be read at any time. */
export class ChainReader implements ImageSource {
  readonly name: string;
  readonly byteLength: number;
  readonly pageBytes: number;
  readonly pageCount: number;
  /** One for each patch. */
  readonly indices: readonly PatchIndex[];
  readonly #links: readonly ChainLink[];
  readonly #base: ImageSource;
  readonly #reader: BatchReader;
  readonly #cache: BatchCache;
  /** The length of the base, and of the image after each patch. */
  readonly #lengths: readonly number[];
  /** Of the images after the patches: the base's bytes behind it are gone. */
  readonly #shortest: number;
  readonly #page: Uint8Array;

  private constructor(
    chain: Chain,
    base: ImageSource,
    indices: readonly PatchIndex[],
    reader: BatchReader,
    cache: BatchCache,
  ) {
    const { links, byteLength, pageBytes } = chain;
    this.name = (links.at(-1) as ChainLink).path;
    this.byteLength = byteLength;
    this.pageBytes = pageBytes;
    this.pageCount = Math.ceil(byteLength / pageBytes);
    this.indices = indices;
    this.#links = links;
    this.#base = base;
    this.#reader = reader;
    this.#cache = cache;
    this.#lengths = [base.byteLength, ...links.map(({ header }) => header.next.byteLength)];
    this.#shortest = Math.min(...this.#lengths.slice(1));
    this.#page = new Uint8Array(pageBytes);
  }

  /**
   * Goes through all patches once, to know where each page stands. `base` is the chain's, perhaps with checks of its own; `onBatch` hears how many
   * batches of how many are done, and may throw. A batch that is damaged costs its pages only. Throws `patch-malformed`, `image`.
   */
  static async open(
    chain: Chain,
    base: ImageSource,
    onBatch: (done: number, total: number) => void = () => undefined,
  ): Promise<ChainReader> {
    const reader = await BatchReader.create(chain.pageBytes);
    const cache = new BatchCache();
    const total = chain.links.reduce((sum, { frames }) => sum + frames.count, 0);
    const indices: PatchIndex[] = [];
    let done = 0;
    let room = MAX_PLACES;
    for (const [patch, { path, header, frames }] of chain.links.entries()) {
      const index = await PatchIndex.read(frames, header, reader, room, (batch, residual) => {
        cache.offer(patch, batch, residual);
        onBatch(++done, total);
      }).catch((error) => {
        throw ofPatch(path, error);
      });
      room -= index.places.count;
      indices.push(index);
    }
    return new ChainReader(chain, base, indices, reader, cache);
  }

  /** What is wrong with the first batch that is damaged, if one is. */
  get damage(): GuestError | undefined {
    const patch = this.indices.findIndex(({ damage }) => damage !== undefined);
    return patch < 0 ? undefined : this.#lost(patch);
  }

  /** How many reads a page takes: each of the base or of one batch. 0 where its content stands in the index, or is lost. */
  readsOf(page: number): number {
    const path = this.#pathOf(page);
    if (path instanceof GuestError) return 0;
    const { origin, steps } = path;
    const deltas = steps.reduce((count, step) => count + ("patch" in step ? 1 : 0), 0);
    return deltas + (origin === "zeros" || ("patch" in origin && this.#isFill(origin.patch, origin.at)) ? 0 : 1);
  }

  /** The page, or the first one behind it, that may be another than the base's page of that number; {@link pageCount} where there is none. */
  nextChanged(page: number): number {
    const isCut = this.#shortest < this.#base.byteLength;
    let next = isCut ? Math.max(page, Math.floor(this.#shortest / this.pageBytes)) : this.pageCount;
    for (const index of this.indices) next = Math.min(next, index.nextChanged(page));
    return Math.min(next, this.pageCount);
  }

  /** Reads one page. Throws `patch-malformed` where it needs a batch that is damaged or a lie, `patch-base` and `image` where the base cannot give it. */
  readPage(page: number, into: Uint8Array): void {
    const path = this.#pathOf(page);
    if (path instanceof GuestError) throw path;
    const { origin, steps } = path;
    this.#begin(origin, into);
    for (let index = steps.length - 1; index >= 0; index--) {
      const step = steps[index] as Step;
      if ("patch" in step) this.#applyDelta(step.patch, step.at, into);
      else into.fill(0, step.keptBytes);
    }
  }

  read(position: number, into: Uint8Array): void {
    const { pageBytes } = this;
    for (let at = 0; at < into.length; ) {
      const page = Math.floor((position + at) / pageBytes);
      const skipped = position + at - page * pageBytes;
      const byteLength = Math.min(pageBytes - skipped, into.length - at);
      const part = into.subarray(at, at + byteLength);
      if (page >= this.pageCount) {
        part.fill(0);
      } else if (byteLength === pageBytes) {
        this.readPage(page, part);
      } else {
        this.readPage(page, this.#page);
        part.set(this.#page.subarray(skipped, skipped + byteLength));
      }
      at += byteLength;
    }
  }

  /** Gives back the memory of batches; those that are needed again are read again. */
  forgetBatches(): void {
    this.#cache.clear();
  }

  checkUnchanged(): void {
    this.#base.checkUnchanged();
  }

  /** From the last image to the first. */
  #pathOf(lastPage: number): PagePath | GuestError {
    const steps: Step[] = [];
    let page = lastPage;
    for (let patch = this.indices.length - 1; patch >= 0; patch--) {
      const keptBytes = (this.#lengths[patch + 1] as number) - page * this.pageBytes;
      if (keptBytes <= 0) return { origin: "zeros", steps };
      if (keptBytes < this.pageBytes) steps.push({ keptBytes });
      const index = this.indices[patch] as PatchIndex;
      const { kinds, olders } = index.places;
      const at = index.places.find(page);
      if (at < 0) {
        if (index.isLost(page)) return this.#lost(patch);
        continue;
      }
      switch (kinds[at]) {
        case PlaceKind.fill:
        case PlaceKind.novel:
          return { origin: { patch, at }, steps };
        case PlaceKind.delta:
          steps.push({ patch, at });
          break;
        case PlaceKind.lost:
          return this.#lost(patch);
      }
      page = olders[at] as number;
    }
    return { origin: { basePage: page }, steps };
  }

  #begin(origin: Origin, into: Uint8Array): void {
    if (origin === "zeros") {
      into.fill(0);
    } else if ("basePage" in origin) {
      this.#base.read(origin.basePage * this.pageBytes, into);
    } else {
      const { patch, at } = origin;
      const { firsts, seconds } = (this.indices[patch] as PatchIndex).places;
      const first = firsts[at] as number;
      if (this.#isFill(patch, at)) fill(into, first, seconds[at] as number);
      else into.set(this.#residual(patch, at, this.pageBytes));
    }
  }

  #applyDelta(patch: number, at: number, page: Uint8Array): void {
    const { seconds } = (this.indices[patch] as PatchIndex).places;
    const payload = this.#residual(patch, at, seconds[at] as number);
    this.#inPatch(patch, () => this.#reader.applyDelta(payload, page));
  }

  /** The `byteLength` bytes of place `at`. */
  #residual(patch: number, at: number, byteLength: number): Uint8Array {
    const { batches, firsts } = (this.indices[patch] as PatchIndex).places;
    const batch = batches[at] as number;
    const residual = this.#cache.get(patch, batch, () =>
      this.#inPatch(patch, () => this.#reader.residual((this.#links[patch] as ChainLink).frames.read(batch))),
    );
    const first = firsts[at] as number;
    const bytes = residual.subarray(first, first + byteLength);
    if (bytes.length < byteLength) {
      const { path } = this.#links[patch] as ChainLink;
      throw ofPatch(path, malformed("it has changed since it was opened"));
    }
    return bytes;
  }

  #isFill(patch: number, at: number): boolean {
    return (this.indices[patch] as PatchIndex).places.kinds[at] === PlaceKind.fill;
  }

  #lost(patch: number): GuestError {
    const { path } = this.#links[patch] as ChainLink;
    return ofPatch(path, (this.indices[patch] as PatchIndex).damage) as GuestError;
  }

  #inPatch<Result>(patch: number, work: () => Result): Result {
    return inPatch((this.#links[patch] as ChainLink).path, () => {
      try {
        return work();
      } catch (error) {
        throw error instanceof PageError && error.code === "batch-malformed" ? malformed(error.message, error) : error;
      }
    });
  }
}

function fill(page: Uint8Array, low: number, high: number): void {
  if (low === 0 && high === 0) {
    page.fill(0);
    return;
  }
  const word = new Uint8Array(8);
  const view = new DataView(word.buffer);
  view.setUint32(0, low, true);
  view.setUint32(4, high, true);
  page.set(word);
  for (let filled = 8; filled < page.length; filled *= 2) page.copyWithin(filled, 0, filled);
}
