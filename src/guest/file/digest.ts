import { hex } from "../../wire/hex.js";
import { equalBytes } from "./bytes.js";
import { type Digest, type DigestStream, type Sha256, sha256 } from "./sha256.js";
import { type ImageSource, LEAF_BYTES, WINDOW_BYTES } from "./source.js";

const PREFIX = "pageferry image 1\n";
const ZERO_LEAF = new Uint8Array(LEAF_BYTES);

/**
 * Names an image's content: SHA-256 over `pageferry image 1`, a line feed, the image's length as a little-endian u64, and the SHA-256 of each 64
 * KiB, the last filled up with zeros.
 *
 * It stands up to somebody hostile as SHA-256 does. It is made of leaves because most leaves need no hashing: the digest of zeros is known, and two
 * images that are compared anyway share the digests of what they share.
 */
export class ImageDigest {
  readonly #sha256: Sha256;
  readonly #root: DigestStream;
  readonly #onLeaf: (digest: Digest) => void;
  #zeroLeaf: Digest | undefined;

  /** `onLeaf` gets the digest of each leaf, in order. */
  constructor(byteLength: number, hash: Sha256 = sha256(), onLeaf: (digest: Digest) => void = () => undefined) {
    this.#sha256 = hash;
    this.#onLeaf = onLeaf;
    this.#root = hash.stream();
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(byteLength), true);
    this.#root.add(new TextEncoder().encode(PREFIX));
    this.#root.add(length);
  }

  /** Takes the next leaf, whole; returns its digest. */
  add(leaf: Uint8Array): Digest {
    const digest = equalBytes(leaf, ZERO_LEAF) ? this.#zeros() : this.#sha256.of(leaf);
    this.addDigest(digest);
    return digest;
  }

  /** Takes a leaf of zeros. */
  addZeros(): void {
    this.addDigest(this.#zeros());
  }

  /** Takes the next leaf by its digest. */
  addDigest(digest: Digest): void {
    this.#root.add(digest);
    this.#onLeaf(digest);
  }

  /** The digest of all leaves, as hex. */
  async finish(): Promise<string> {
    return hex(await this.#root.finish());
  }

  #zeros(): Digest {
    this.#zeroLeaf ??= this.#sha256.of(ZERO_LEAF);
    return this.#zeroLeaf;
  }
}

/** The digest of a whole image. `onWindow` is called and waited for after each window, and may throw; `onLeaf` gets
 * the digest of each leaf. Throws what the image does. */
export async function digestOf(
  image: Pick<ImageSource, "byteLength" | "read">,
  onWindow: (done: number) => Promise<void>,
  onLeaf?: (digest: Digest) => void,
): Promise<string> {
  const { byteLength } = image;
  const digest = new ImageDigest(byteLength, sha256(), onLeaf);
  const window = new Uint8Array(WINDOW_BYTES);
  for (let position = 0; position < byteLength; position += WINDOW_BYTES) {
    image.read(position, window);
    const end = Math.min(WINDOW_BYTES, byteLength - position);
    let last: Digest | undefined;
    for (let at = 0; at < end; at += LEAF_BYTES) last = digest.add(window.subarray(at, at + LEAF_BYTES));
    // Otherwise copies of all leaves would wait for a slow WebCrypto.
    await last;
    await onWindow(Math.min(position + WINDOW_BYTES, byteLength));
  }
  return digest.finish();
}
