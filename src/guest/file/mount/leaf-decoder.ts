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
  /** The digests of the last image's leaves, as far as they have been made. */
  readonly #made: LeafDigests;
  /** Whether a changed leaf cannot be read whole. */
  #hasFaults = false;

  constructor(options: LeafDecoderOptions) {
    const { byteLength, pageBytes } = options.reader;
    this.#options = options;
    this.#pagesPerLeaf = LEAF_BYTES / pageBytes;
    this.#made = new LeafDigests(byteLength);
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
    for (let page = first; page < end; page++) if (reader.readsOf(page) > mostReads) return true;
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
    if (this.nextChanged(leaf) === leaf) this.#decodeChanged(leaf, first, found);
    else this.#check(leaf, found);
    // Each of them only now: who reads it in another thread finds the page where it says.
    for (let page = found.length - 1; page >= 0; page--) Atomics.store(states, page, found[page] as number);
  }

  /**
   * When all leaves have been decoded that patches change: compares the whole image with the digest that the last patch promises. Returns the digests of its
   * leaves; undefined where damage makes that impossible. Throws `patch-malformed`.
   */
  async finish(digest: string): Promise<LeafDigests | undefined> {
    const { lastLeaves, baseLeaves } = this.#options;
    if (lastLeaves !== undefined) return lastLeaves;
    if (this.#hasFaults) return undefined;
    const zeros = sha256().of(new Uint8Array(LEAF_BYTES)) as Uint8Array;
    for (let leaf = 0, changed = this.nextChanged(0); leaf < this.leafCount; leaf++) {
      if (leaf > changed) changed = this.nextChanged(leaf);
      if (leaf === changed) continue;
      this.#made.set(leaf, leaf * LEAF_BYTES < baseLeaves.byteLength ? baseLeaves.of(leaf) : zeros);
    }
    if ((await this.#made.root()) !== digest) throw malformed("it does not make the image that it promises");
    return this.#made;
  }

  #pagesOf(leaf: number): { readonly first: number; readonly end: number } {
    const first = leaf * this.#pagesPerLeaf;
    return { first, end: Math.min(first + this.#pagesPerLeaf, this.#options.reader.pageCount) };
  }

  /** A leaf as the base has it. */
  #check(leaf: number, found: Uint8Array): void {
    const { base } = this.#options;
    found.fill(PageState.base);
    if (leaf * LEAF_BYTES >= base.byteLength) return;
    this.#try(leaf * this.#pagesPerLeaf, found.length, () => base.verify(leaf)) ?? found.fill(PageState.failed);
  }

  #decodeChanged(leaf: number, first: number, found: Uint8Array): void {
    const { reader, base, lastLeaves } = this.#options;
    const { pageBytes } = reader;
    this.#leaf.fill(0);
    for (let page = 0; page < found.length; page++) {
      const into = this.#leaf.subarray(page * pageBytes, (page + 1) * pageBytes);
      const isChanged = reader.nextChanged(first + page) === first + page;
      const read = (): void =>
        isChanged ? reader.readPage(first + page, into) : base.read((first + page) * pageBytes, into);
      const state = isChanged ? PageState.decoded : PageState.base;
      found[page] = this.#try(first + page, 1, read) === undefined ? PageState.failed : state;
    }
    if (!found.includes(PageState.failed)) {
      const digest = sha256().of(this.#leaf) as Uint8Array;
      this.#made.set(leaf, digest);
      const isRight = lastLeaves === undefined || equalBytes(digest, lastLeaves.of(leaf));
      const complain = (): void => {
        if (!isRight) throw malformed("it does not make what it promises there");
      };
      if (this.#try(first, found.length, complain) === undefined) found.fill(PageState.failed);
    }
    if (found.includes(PageState.failed)) this.#hasFaults = true;
    this.#spill(first, found);
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

  /** Returns true, or undefined where the pages cannot be had. */
  #try(firstPage: number, count: number, work: () => void): true | undefined {
    try {
      work();
      return true;
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      const { pageBytes } = this.#options.reader;
      const pages = count === 1 ? `Page ${firstPage}` : `The pages ${firstPage} to ${firstPage + count - 1}`;
      this.#options.onFault(`${pages} (of ${pageBytes} bytes) cannot be read: ${error.message}`);
      return undefined;
    }
  }
}
