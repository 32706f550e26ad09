import type { BatchReader, BatchVisitor } from "../../../page/batch-reader.js";
import { PageError } from "../../../page/errors.js";
import { GuestError } from "../../errors.js";
import { nextTurn } from "../../turn.js";
import { malformed, type PatchHeader } from "../patch.js";
import type { PatchFrames } from "./patch-frames.js";
import { PlaceKind, Places } from "./places.js";

/** Pages from `first` to before `end`. */
export interface PageRange {
  readonly first: number;
  readonly end: number;
}

/** What one patch changes, and where the content of each page stands in it. */
export class PatchIndex {
  readonly places: Places;
  /** Pages that damaged batches may change: those between the pages of the batches around them. */
  readonly lost: readonly PageRange[];
  /** What is wrong with the first damaged batch. */
  readonly damage: GuestError | undefined;

  /** Use {@link PatchIndex.read}. */
  constructor(places: Places, lost: readonly PageRange[], damage: GuestError | undefined) {
    this.places = places;
    this.lost = lost;
    this.damage = damage;
  }

  /**
   * Goes once through a patch's batches; `onBatch` gets the residual stream of each, which holds until it returns. A batch that was damaged on its
   * way is passed over. Throws `patch-malformed` where a batch that was not is none, and `image` where there are more than `mostPlaces` changes.
   */
  static async read(
    frames: PatchFrames,
    header: PatchHeader,
    reader: BatchReader,
    mostPlaces: number,
    onBatch: (batch: number, residual: Uint8Array) => void,
  ): Promise<PatchIndex> {
    const pageCount = Math.ceil(header.next.byteLength / header.pageBytes);
    const builder = new IndexBuilder(mostPlaces);
    for (builder.batch = 0; builder.batch < frames.count; builder.batch++) {
      let bytes: Uint8Array;
      try {
        bytes = frames.read(builder.batch);
      } catch (error) {
        if (!(error instanceof GuestError) || error.code !== "patch-malformed") throw error;
        builder.skip(error);
        continue;
      }
      try {
        await reader.prepareFor(bytes);
        onBatch(builder.batch, reader.read(bytes, pageCount, builder));
      } catch (error) {
        throw error instanceof PageError && error.code === "batch-malformed" ? malformed(error.message, error) : error;
      }
      await nextTurn();
    }
    if (!frames.isWhole) builder.skip(malformed("where one of its batches ends is not certain"));
    return builder.finish(header, pageCount);
  }

  /** Whether a page that has no place may be in a damaged batch. */
  isLost(page: number): boolean {
    return includes(this.lost, page);
  }

  /** The page, or the first one behind it, that the patch changes or may change; infinity where there is none. */
  nextChanged(page: number): number {
    const { pages, count } = this.places;
    const at = this.places.atOrBehind(page);
    let next = at < count ? (pages[at] as number) : Number.POSITIVE_INFINITY;
    for (const { first, end } of this.lost) if (end > page) next = Math.min(next, Math.max(first, page));
    return next;
  }
}

class IndexBuilder implements BatchVisitor {
  batch = 0;
  readonly #places: Places;
  readonly #lost: PageRange[] = [];
  /** Where pages begin to be uncertain, since the last batch was damaged. */
  #lostFrom: number | undefined;
  #damage: GuestError | undefined;

  constructor(mostPlaces: number) {
    this.#places = new Places(mostPlaces);
  }

  /** The batch is damaged: what it changes is not known. */
  skip(damage: GuestError): void {
    this.#damage ??= damage;
    this.#lostFrom ??= this.#places.lastPage + 1;
  }

  fill(page: number, low: number, high: number): void {
    this.#begin(page);
    this.#places.add(page, PlaceKind.fill, this.batch, low, high, page);
  }

  dup(page: number, sourcePage: number): void {
    this.#begin(page);
    const source = this.#places.find(sourcePage);
    // Pages change in ascending order: what has no place yet is as it was before the patch.
    if (source >= 0) this.#places.addAs(page, source);
    else if (includes(this.#lost, sourcePage)) this.#places.add(page, PlaceKind.lost, this.batch, 0, 0, page);
    else this.#places.add(page, PlaceKind.copy, this.batch, 0, 0, sourcePage);
  }

  delta(page: number, fromByte: number, byteLength: number): void {
    this.#begin(page);
    this.#places.add(page, PlaceKind.delta, this.batch, fromByte, byteLength, page);
  }

  novel(page: number, fromByte: number): void {
    this.#begin(page);
    this.#places.add(page, PlaceKind.novel, this.batch, fromByte, 0, page);
  }

  same(page: number): void {
    this.#begin(page);
    this.#places.add(page, PlaceKind.copy, this.batch, 0, 0, page);
  }

  finish({ changedPages }: PatchHeader, pageCount: number): PatchIndex {
    this.#endLost(pageCount);
    if (this.#damage === undefined && this.#places.count !== changedPages) {
      throw malformed("it does not have as many pages as it says");
    }
    return new PatchIndex(this.#places, this.#lost, this.#damage);
  }

  #begin(page: number): void {
    if (page <= this.#places.lastPage) throw malformed("its pages are not in ascending order");
    this.#endLost(page);
  }

  #endLost(end: number): void {
    if (this.#lostFrom !== undefined && this.#lostFrom < end) this.#lost.push({ first: this.#lostFrom, end });
    this.#lostFrom = undefined;
  }
}

function includes(ranges: readonly PageRange[], page: number): boolean {
  return ranges.some(({ first, end }) => page >= first && page < end);
}
