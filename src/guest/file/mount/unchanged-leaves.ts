import { GuestError } from "../../errors.js";
import type { LeafDigests } from "../leaf-digests.js";
import { LEAF_BYTES } from "../source.js";
import type { VerifiedImage } from "../verified-image.js";
import { PageState } from "./page-states.js";

/** Leaves that the last image has from the base: where the digests of both are known, those tell, before a patch has been read. */
export class UnchangedLeaves {
  readonly #base: VerifiedImage;
  readonly #baseLeaves: LeafDigests;
  readonly #lastLeaves: LeafDigests;
  readonly #states: Uint8Array;
  readonly #pagesPerLeaf: number;

  constructor(
    base: VerifiedImage,
    baseLeaves: LeafDigests,
    lastLeaves: LeafDigests,
    states: Uint8Array,
    pageBytes: number,
  ) {
    this.#base = base;
    this.#baseLeaves = baseLeaves;
    this.#lastLeaves = lastLeaves;
    this.#states = states;
    this.#pagesPerLeaf = LEAF_BYTES / pageBytes;
  }

  /** Whether the leaf's pages can be read from now on. What is another here, or damaged, is left to {@link LeafDecoder}. */
  check(leaf: number): boolean {
    const first = leaf * this.#pagesPerLeaf;
    if (this.#states[first] !== PageState.unknown) return true;
    if (!this.#lastLeaves.isSame(leaf, this.#baseLeaves)) return false;
    try {
      this.#base.verify(leaf);
    } catch (error) {
      if (error instanceof GuestError) return false;
      throw error;
    }
    const end = Math.min(first + this.#pagesPerLeaf, this.#states.length);
    for (let page = end - 1; page >= first; page--) Atomics.store(this.#states, page, PageState.base);
    return true;
  }
}
