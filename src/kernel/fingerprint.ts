import { type Arena, bitmapBytes } from "./arena.js";
import { KernelError } from "./errors.js";
import type { KernelExports } from "./exports.js";
import { pageCountOf } from "./scan.js";
import type { Span } from "./span.js";

/** Bytes of one fingerprint. */
export const FINGERPRINT_BYTES = 16;
const SECRET_BYTES = 192;

/** XXH3's default secret, as its specification gives it. */
const DEFAULT_SECRET_HEX =
  "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f" +
  "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c" +
  "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" +
  "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364" +
  "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e" +
  "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e";

/** The 192 bytes that XXH3 derives from a seed: the default secret's words, the seed added to and taken from them in turn. */
function seededSecret(seed: bigint): Uint8Array {
  const secret = Uint8Array.from(DEFAULT_SECRET_HEX.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  const view = new DataView(secret.buffer);
  for (let at = 0; at < SECRET_BYTES; at += 16) {
    view.setBigUint64(at, BigInt.asUintN(64, view.getBigUint64(at, true) + seed), true);
    view.setBigUint64(at + 8, BigInt.asUintN(64, view.getBigUint64(at + 8, true) - seed), true);
  }
  return secret;
}

/**
 * XXH3-128 of pages: 16 bytes each, the low 64 bits first, both halves little-endian. (xxHash's canonical form is the same number
 * big-endian.)
 */
export class FingerprintKernels {
  readonly #exports: KernelExports;
  readonly #arena: Arena;

  constructor(exports: KernelExports, arena: Arena) {
    this.#exports = exports;
    this.#arena = arena;
  }

  /**
   * Allocates the secret that belongs to a 64-bit seed (0 to 2^64 − 1), which the other calls take. Where somebody hostile may choose
   * page contents, draw the seed at random and keep it to yourself.
   */
  secret(seed: bigint): Span {
    if (seed < 0n || seed >= 1n << 64n) throw new KernelError("argument", "The seed must be from 0 to 2^64 - 1.");
    const secret = this.#arena.allocate(SECRET_BYTES);
    secret.bytes.set(seededSecret(seed));
    return secret;
  }

  /** Writes each page's fingerprint to `fingerprints`. */
  pages(pages: Span, pageBytes: number, secret: Span, fingerprints: Span): void {
    const pageCount = pageCountOf(pages, pageBytes);
    this.#exports.fingerprintPages(
      this.#arena.pointer("pages", pages, 0),
      pageCount,
      pageBytes,
      this.#arena.pointer("secret", secret, SECRET_BYTES),
      this.#arena.output("fingerprints", fingerprints, pageCount * FINGERPRINT_BYTES, pages, secret),
    );
  }

  /**
   * Fingerprints each page, sets its bit where the fingerprint is not the one in `fingerprints`, and puts the new one there: one pass.
   * Returns how many pages changed.
   */
  scan(pages: Span, pageBytes: number, secret: Span, fingerprints: Span, bitmap: Span): number {
    const pageCount = pageCountOf(pages, pageBytes);
    return this.#exports.fingerprintScan(
      this.#arena.pointer("pages", pages, 0),
      pageCount,
      pageBytes,
      this.#arena.pointer("secret", secret, SECRET_BYTES),
      this.#arena.output("fingerprints", fingerprints, pageCount * FINGERPRINT_BYTES, pages, secret),
      this.#arena.output("bitmap", bitmap, bitmapBytes(pageCount), pages, secret, fingerprints),
    );
  }
}
