import { equalBytes } from "./bytes.js";
import { digestOf, ImageDigest } from "./digest.js";
import type { Digest } from "./sha256.js";
import { type ImageSource, LEAF_BYTES } from "./source.js";

const DIGEST_BYTES = 32;

/** The SHA-256 of each 64 KiB of an image, from which {@link ImageDigest} makes the image's own: any leaf can be checked by itself. */
export class LeafDigests {
  /** Of the image. */
  readonly byteLength: number;
  /** 32 bytes for each leaf. */
  readonly bytes: Uint8Array;
  #count = 0;

  /** The digests are the bytes, not a copy; without them there are none yet. Throws `RangeError` where they are not as many as the image's leaves. */
  constructor(byteLength: number, bytes?: Uint8Array) {
    const leafBytes = LeafDigests.bytesFor(byteLength);
    if (bytes !== undefined && bytes.length !== leafBytes) throw new RangeError("These are not an image's digests.");
    this.byteLength = byteLength;
    this.bytes = bytes ?? new Uint8Array(leafBytes);
  }

  /** The bytes of all digests of an image of `byteLength` bytes. */
  static bytesFor(byteLength: number): number {
    return Math.ceil(byteLength / LEAF_BYTES) * DIGEST_BYTES;
  }

  /** Reads a whole image. `onWindow` is called and waited for after each window, and may throw. Throws what the image does. */
  static async compute(
    image: Pick<ImageSource, "byteLength" | "read">,
    onWindow: (done: number) => Promise<void>,
  ): Promise<LeafDigests> {
    const leaves = new LeafDigests(image.byteLength);
    await digestOf(image, onWindow, (digest) => leaves.add(digest));
    return leaves;
  }

  /** Takes the digest of the next leaf. Node's are never promised. */
  add(digest: Digest): void {
    this.set(this.#count++, digest as Uint8Array);
  }

  of(leaf: number): Uint8Array {
    return this.bytes.subarray(leaf * DIGEST_BYTES, (leaf + 1) * DIGEST_BYTES);
  }

  set(leaf: number, digest: Uint8Array): void {
    this.bytes.set(digest, leaf * DIGEST_BYTES);
  }

  /** Whether another image, perhaps of another length, has the same bytes there. */
  isSame(leaf: number, other: LeafDigests): boolean {
    return leaf * LEAF_BYTES < Math.min(this.byteLength, other.byteLength) && equalBytes(this.of(leaf), other.of(leaf));
  }

  /** The image's digest, as hex. */
  root(): Promise<string> {
    const root = new ImageDigest(this.byteLength);
    // Digests that follow each other are hashed alike, in one piece or in many.
    root.addDigest(this.bytes);
    return root.finish();
  }
}
