import { createHash, hash } from "node:crypto";

/** A leaf: what is hashed by itself. */
export const LEAF_BYTES: number = 64 << 10;

const PREFIX = "pageferry image 1\n";
const ZERO_LEAF = new Uint8Array(LEAF_BYTES);
const ZERO_LEAF_DIGEST = sha256(ZERO_LEAF);

/**
 * Names an image's content: SHA-256 over `pageferry image 1`, a line feed, the image's length as a little-endian u64, and the SHA-256 of each 64
 * KiB, the last filled up with zeros.
 *
 * It stands up to somebody hostile as SHA-256 does. It is made of leaves because most leaves need no hashing: the digest of zeros is known, and two
 * images that are compared anyway share the digests of what they share.
 */
export class ImageDigest {
  readonly #root = createHash("sha256");

  constructor(byteLength: number) {
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(byteLength), true);
    this.#root.update(PREFIX).update(length);
  }

  /** Takes the next leaf, whole; returns its digest. */
  add(leaf: Uint8Array): Uint8Array {
    const digest = Buffer.compare(leaf, ZERO_LEAF) === 0 ? ZERO_LEAF_DIGEST : sha256(leaf);
    this.addDigest(digest);
    return digest;
  }

  /** Takes a leaf of zeros. */
  addZeros(): void {
    this.addDigest(ZERO_LEAF_DIGEST);
  }

  /** Takes the next leaf by its digest. */
  addDigest(digest: Uint8Array): void {
    this.#root.update(digest);
  }

  /** The digest of all leaves, as hex. */
  finish(): string {
    return this.#root.digest("hex");
  }
}

function sha256(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}
