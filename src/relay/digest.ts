import { createHash } from "node:crypto";
import { FINGERPRINT_BYTES } from "../kernel/fingerprint.js";
import type { Kernels } from "../kernel/load.js";
import type { Span } from "../kernel/span.js";
import { RELAY_DIGEST_BYTES } from "../wire/relay-data.js";

const PIECE_BYTES = 65536;

/**
 * A digest of a stream that comes in parts: SHA-256 over the digest before the part, the part's length and the fingerprints (XXH3-128 with the
 * session's random seed) of its pieces of 64 KiB, the last one filled up with zeros. It takes a tenth of what SHA-256 of all bytes would.
 */
export class StreamDigest {
  readonly #kernels: Kernels;
  readonly #secret: Span;
  readonly #fingerprints: Span;
  readonly #lastPiece: Span;
  #digest: Uint8Array = new Uint8Array(RELAY_DIGEST_BYTES);

  /** For parts of at most `maxBytes` bytes, which lie in these kernels' memory. */
  constructor(kernels: Kernels, seed: bigint, maxBytes: number) {
    const { arena, fingerprint } = kernels;
    this.#kernels = kernels;
    this.#secret = fingerprint.secret(seed);
    this.#fingerprints = arena.allocate(Math.ceil(maxBytes / PIECE_BYTES) * FINGERPRINT_BYTES);
    this.#lastPiece = arena.allocate(PIECE_BYTES);
  }

  /** The digest of everything up to the end of this part: the bytes of the span from `from` to before `to`. */
  add(stream: Span, from: number, to: number): Uint8Array {
    const byteLength = to - from;
    const wholeBytes = byteLength - (byteLength % PIECE_BYTES);
    const { fingerprint } = this.#kernels;
    const wholeFingerprints = (wholeBytes / PIECE_BYTES) * FINGERPRINT_BYTES;
    let fingerprintBytes = wholeFingerprints;
    fingerprint.pages(stream.part(from, wholeBytes), PIECE_BYTES, this.#secret, this.#fingerprints);
    if (wholeBytes < byteLength) {
      const piece = this.#lastPiece.bytes;
      piece.set(stream.bytes.subarray(from + wholeBytes, to));
      piece.fill(0, byteLength - wholeBytes);
      const fingerprints = this.#fingerprints.part(wholeFingerprints, FINGERPRINT_BYTES);
      fingerprint.pages(this.#lastPiece, PIECE_BYTES, this.#secret, fingerprints);
      fingerprintBytes += FINGERPRINT_BYTES;
    }
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(byteLength), true);
    const hash = createHash("sha256").update(this.#digest).update(length);
    this.#digest = hash.update(this.#fingerprints.bytes.subarray(0, fingerprintBytes)).digest();
    return this.#digest;
  }
}
