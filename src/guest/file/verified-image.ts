import { GuestError } from "../errors.js";
import { equalBytes } from "./bytes.js";
import type { LeafDigests } from "./leaf-digests.js";
import { sha256 } from "./sha256.js";
import { type ImageSource, LEAF_BYTES } from "./source.js";

/** An image of which each 64 KiB are compared with their digest before the first byte of them is given out. */
export class VerifiedImage implements ImageSource {
  readonly #image: ImageSource;
  readonly #leaves: LeafDigests;
  /** A bit for each leaf that was as it should be. */
  readonly #isRight: Uint8Array;
  readonly #leaf = new Uint8Array(LEAF_BYTES);
  #isStrict = true;

  constructor(image: ImageSource, leaves: LeafDigests) {
    this.#image = image;
    this.#leaves = leaves;
    this.#isRight = new Uint8Array(Math.ceil(leaves.byteLength / LEAF_BYTES / 8));
  }

  get name(): string {
    return this.#image.name;
  }

  get byteLength(): number {
    return this.#image.byteLength;
  }

  /** Throws `patch-base` where the image is not what its digest says, there. */
  read(position: number, into: Uint8Array): void {
    const end = Math.min(position + into.length, this.byteLength);
    if (this.#isStrict) this.#verifyFrom(position, end);
    this.#image.read(position, into);
  }

  /** Runs `work`, in which the image is given out unchecked: what is made of it is checked there itself. */
  unchecked<Result>(work: () => Result): Result {
    this.#isStrict = false;
    try {
      return work();
    } finally {
      this.#isStrict = true;
    }
  }

  /** Reads one leaf unless it has been; where the image has none there is nothing to verify. Throws `patch-base`. */
  verify(leaf: number): void {
    if (leaf * LEAF_BYTES >= this.byteLength) return;
    const bit = 1 << (leaf & 7);
    if (((this.#isRight[leaf >> 3] as number) & bit) !== 0) return;
    const position = leaf * LEAF_BYTES;
    this.#image.read(position, this.#leaf);
    if (!equalBytes(sha256().of(this.#leaf) as Uint8Array, this.#leaves.of(leaf))) {
      throw new GuestError(
        "patch-base",
        `${this.name} is not the image that the patches were made from: it differs in the ${LEAF_BYTES} bytes from ${position} on.`,
      );
    }
    this.#isRight[leaf >> 3] = (this.#isRight[leaf >> 3] as number) | bit;
  }

  checkUnchanged(): void {
    this.#image.checkUnchanged();
  }

  #verifyFrom(position: number, end: number): void {
    for (let leaf = Math.floor(position / LEAF_BYTES); leaf * LEAF_BYTES < end; leaf++) this.verify(leaf);
  }
}
