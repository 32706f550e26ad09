import { GuestError } from "../../errors.js";

/** How the content of a page stands in a patch. */
export const PlaceKind: {
  readonly fill: 1;
  readonly novel: 2;
  readonly delta: 3;
  readonly copy: 4;
  readonly lost: 5;
} = Object.freeze({
  /** One word, repeated: `first` and `second` are its halves. */
  fill: 1,
  /** Whole, from byte `first` of the batch's residual stream on. */
  novel: 2,
  /** A delta of `second` bytes, from byte `first` on, over page `older` of the image before the patch. */
  delta: 3,
  /** As page `older` of the image before the patch. */
  copy: 4,
  /** In a batch that is damaged. */
  lost: 5,
});
export type PlaceKind = (typeof PlaceKind)[keyof typeof PlaceKind];

/** The most changed pages of all patches together: 350 MB of places. */
export const MAX_PLACES: number = 1 << 24;
const FIRST_ROOM = 1024;

/** Where the content of each page that a patch changes stands: a column for each property, in ascending order of the pages. */
export class Places {
  count = 0;
  pages: Uint32Array = new Uint32Array(FIRST_ROOM);
  kinds: Uint8Array = new Uint8Array(FIRST_ROOM);
  batches: Uint32Array = new Uint32Array(FIRST_ROOM);
  firsts: Uint32Array = new Uint32Array(FIRST_ROOM);
  seconds: Uint32Array = new Uint32Array(FIRST_ROOM);
  olders: Uint32Array = new Uint32Array(FIRST_ROOM);
  readonly #most: number;

  /** For at most so many pages. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The last page, or −1. */
  get lastPage(): number {
    return this.count === 0 ? -1 : (this.pages[this.count - 1] as number);
  }

  /** Adds a page behind all others. Throws `image` where there is no room. */
  add(page: number, kind: PlaceKind, batch: number, first: number, second: number, older: number): void {
    if (this.count === this.#most) {
      throw new GuestError(
        "image",
        `The patches change more than ${MAX_PLACES} pages; squash fewer of them at a time.`,
      );
    }
    if (this.count === this.pages.length) this.#grow();
    const at = this.count++;
    this.pages[at] = page;
    this.kinds[at] = kind;
    this.batches[at] = batch;
    this.firsts[at] = first;
    this.seconds[at] = second;
    this.olders[at] = older;
  }

  /** Adds a page with the content that the one at place `at` has. */
  addAs(page: number, at: number): void {
    const { kinds, batches, firsts, seconds, olders } = this;
    const kind = kinds[at] as PlaceKind;
    this.add(page, kind, batches[at] as number, firsts[at] as number, seconds[at] as number, olders[at] as number);
  }

  /** Where a page stands, or −1. */
  find(page: number): number {
    const at = this.atOrBehind(page);
    return at < this.count && this.pages[at] === page ? at : -1;
  }

  /** Where a page stands, or the first one behind it. */
  atOrBehind(page: number): number {
    const { pages } = this;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((pages[middle] as number) < page) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #grow(): void {
    const room = Math.min(this.#most, this.pages.length * 2);
    const grow = <Column extends Uint8Array | Uint32Array>(column: Column, next: Column): Column => {
      next.set(column);
      return next;
    };
    this.pages = grow(this.pages, new Uint32Array(room));
    this.kinds = grow(this.kinds, new Uint8Array(room));
    this.batches = grow(this.batches, new Uint32Array(room));
    this.firsts = grow(this.firsts, new Uint32Array(room));
    this.seconds = grow(this.seconds, new Uint32Array(room));
    this.olders = grow(this.olders, new Uint32Array(room));
  }
}
