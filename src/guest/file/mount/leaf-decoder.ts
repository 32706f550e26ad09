import { GuestError } from "../../errors.js";
import { equalBytes } from "../bytes.js";
import type { ChainReader } from "../chain/chain-reader.js";
import { LeafDigests } from "../leaf-digests.js";
import { malformed } from "../patch.js";
import { sha256 } from "../sha256.js";
import { LEAF_BYTES } from "../source.js";
import type { VerifiedImage } from "../verified-image.js";
import { PageState } from "./page-states.js";
import type { SpillFile } from "./spill.js";

/** What a decoder works on. */
export interface LeafDecoderOptions {
  readonly reader: ChainReader;
  readonly base: VerifiedImage;
  /** Of the base. */
  readonly baseLeaves: LeafDigests;
  /** Of the last image, where they are known: each leaf is then compared with its own. */
  readonly lastLeaves: LeafDigests | undefined;
  /** A byte for each page, which other threads read. */
  readonly states: Uint8Array;
  readonly spill: SpillFile;
  /** What of the image cannot be read, and why, as a sentence. */
  readonly onFault: (sentence: string) => void;
}

/** Brings an image's pages, 64 KiB at a time, to where they can be read at once. */
export class LeafDecoder {
  readonly leafCount: number;
  readonly #options: LeafDecoderOptions;
  readonly #pagesPerLeaf: number;
  readonly #leaf = new Uint8Array(LEAF_BYTES);
  /** The digests of the last image's leaves, as far as they have been made; where they are known they need not be. */
  readonly #made: LeafDigests | undefined;
  /** Whether a changed leaf cannot be read whole. */
  #hasFaults = false;

  constructor(options: LeafDecoderOptions) {
    const { byteLength, pageBytes } = options.reader;
    this.#options = options;
    this.#pagesPerLeaf = LEAF_BYTES / pageBytes;
    this.#made = options.lastLeaves === undefined ? new LeafDigests(byteLength) : undefined;
    this.leafCount = Math.ceil(byteLength / LEAF_BYTES);
  }

  /** The leaf, or the first one behind it, that patches change; {@link leafCount} where there is none. */
  nextChanged(leaf: number): number {
    const { reader } = this.#options;
    const page = reader.nextChanged(leaf * this.#pagesPerLeaf);
    return page === reader.pageCount ? this.leafCount : Math.floor(page / this.#pagesPerLeaf);
  }

  /** Whether one of the leaf's pages takes more reads than these. */
  isBeyond(leaf: number, mostReads: number): boolean {
    const { reader } = this.#options;
    const { first, end } = this.#pagesOf(leaf);
    for (let page = reader.nextChanged(first); page < end; page = reader.nextChanged(page + 1)) {
      if (reader.readsOf(page) > mostReads) return true;
    }
    return false;
  }

  /** Whether the leaf's pages have been brought to where they are read. */
  isDone(leaf: number): boolean {
    return this.#options.states[leaf * this.#pagesPerLeaf] !== PageState.unknown;
  }

  /** Brings the leaf's pages to where they are read, and says so in their states. Throws `image` where there is no room for them. */
  decode(leaf: number): void {
    if (this.isDone(leaf)) return;
    const { first, end } = this.#pagesOf(leaf);
    const states = this.#options.states.subarray(first, end);
    const found = new Uint8Array(end - first);
    if (this.#isOfBase(leaf)) this.#check(leaf, found);
    else this.#decodeChanged(leaf, first, found);
    // Each of them only now: who reads it in another thread finds the page where it says.
    for (let page = found.length - 1; page >= 0; page--) Atomics.store(states, page, found[page] as number);
  }

  /**
   * When all leaves have been decoded that patches change: compares the whole image with the digest that the last patch promises. Returns the digests of its
   * leaves; undefined where damage makes that impossible. Throws `patch-malformed`.
   */
  async finish(digest: string): Promise<LeafDigests | undefined> {
    const { lastLeaves, baseLeaves } = this.#options;
    const made = this.#made;
    if (made === undefined) return lastLeaves;
    if (this.#hasFaults) return undefined;
    const zeros = sha256().of(new Uint8Array(LEAF_BYTES)) as Uint8Array;
    for (let leaf = 0, changed = this.nextChanged(0); leaf < this.leafCount; leaf++) {
      if (leaf > changed) changed = this.nextChanged(leaf);
      if (leaf === changed) continue;
      made.set(leaf, leaf * LEAF_BYTES < baseLeaves.byteLength ? baseLeaves.of(leaf) : zeros);
    }
    if ((await made.root()) !== digest) throw malformed("it does not make the image that it promises");
    return made;
  }

  #pagesOf(leaf: number): { readonly first: number; readonly end: number } {
    const first = leaf * this.#pagesPerLeaf;
    return { first, end: Math.min(first + this.#pagesPerLeaf, this.#options.reader.pageCount) };
  }

  /** What patches say is asked only where the digests are not known, which cannot lie. */
  #isOfBase(leaf: number): boolean {
    const { baseLeaves, lastLeaves } = this.#options;
    return lastLeaves === undefined ? this.nextChanged(leaf) !== leaf : lastLeaves.isSame(leaf, baseLeaves);
  }

  /** A leaf as the base has it. */
  #check(leaf: number, found: Uint8Array): void {
    const { base } = this.#options;
    const isRight = this.#try(leaf * this.#pagesPerLeaf, found.length, () => base.verify(leaf));
    found.fill(isRight ? PageState.base : PageState.failed);
  }

  #decodeChanged(leaf: number, first: number, found: Uint8Array): void {
    const { base, lastLeaves } = this.#options;
    const expected = lastLeaves?.of(leaf);
    if (expected === undefined || !base.unchecked(() => this.#isMade(expected, first, found))) {
      // What it is made of is checked, one by one: now it shows what is wrong.
      this.#make(first, found, (page, count, read) => this.#try(page, count, read));
      if (found.includes(PageState.failed)) this.#hasFaults = true;
      else this.#compare(leaf, first, found, expected);
      // Where the digest is known nothing is given out that has not been compared with it.
      if (expected !== undefined && found.includes(PageState.failed)) found.fill(PageState.failed);
    }
    this.#spill(first, found);
  }

  #compare(leaf: number, first: number, found: Uint8Array, expected: Uint8Array | undefined): void {
    const digest = sha256().of(this.#leaf) as Uint8Array;
    this.#made?.set(leaf, digest);
    const isRight = this.#try(first, found.length, () => {
      if (!equalBytes(digest, expected ?? digest)) throw malformed("it does not make what it promises there");
    });
    if (!isRight) found.fill(PageState.failed);
  }

  /** Whether the leaf comes to what it is to be: whatever it is made of needs no check of its own then. */
  #isMade(digest: Uint8Array, first: number, found: Uint8Array): boolean {
    try {
      this.#make(first, found, (_page, _count, read) => {
        read();
        return true;
      });
      return equalBytes(sha256().of(this.#leaf) as Uint8Array, digest);
    } catch (error) {
      if (error instanceof GuestError) return false;
      throw error;
    }
  }

  /** Makes the leaf of the base and what patches change of it. `attempt` runs what reads pages, and tells whether they could be had. */
  #make(
    first: number,
    found: Uint8Array,
    attempt: (firstPage: number, count: number, read: () => void) => boolean,
  ): void {
    const { reader, base } = this.#options;
    const { pageBytes } = reader;
    const end = first + found.length;
    const pages = this.#leaf.subarray(0, found.length * pageBytes);
    const changed: number[] = [];
    for (let page = reader.nextChanged(first); page < end; page = reader.nextChanged(page + 1)) changed.push(page);
    this.#leaf.fill(0, pages.length);
    if (changed.length < found.length) {
      const isThere = attempt(first, found.length, () => base.read(first * pageBytes, pages));
      found.fill(isThere ? PageState.base : PageState.failed);
    }
    for (const page of changed) {
      const at = page - first;
      const into = pages.subarray(at * pageBytes, (at + 1) * pageBytes);
      found[at] = attempt(page, 1, () => reader.readPage(page, into)) ? PageState.decoded : PageState.failed;
    }
  }

  /** Writes the pages that have been decoded, in runs. */
  #spill(first: number, found: Uint8Array): void {
    const { spill, reader } = this.#options;
    const { pageBytes } = reader;
    for (let start = 0, end = 0; start < found.length; start = end) {
      for (end = start + 1; end < found.length && found[end] === found[start]; ) end += 1;
      if (found[start] !== PageState.decoded) continue;
      spill.write((first + start) * pageBytes, this.#leaf.subarray(start * pageBytes, end * pageBytes));
    }
  }

  /** Whether the pages can be had; where not, somebody hears of it. */
  #try(firstPage: number, count: number, work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      const { pageBytes } = this.#options.reader;
      const pages = count === 1 ? `Page ${firstPage}` : `The pages ${firstPage} to ${firstPage + count - 1}`;
      this.#options.onFault(`${pages} (of ${pageBytes} bytes) cannot be read: ${error.message}`);
      return false;
    }
  }
}
