import { FINGERPRINT_BYTES } from "../kernel/fingerprint.js";
import type { Kernels } from "../kernel/load.js";
import { hex } from "../wire/hex.js";

/** SHA-256 over so many bytes of fingerprints at a time, and then over those digests. */
const DIGEST_CHUNK_BYTES = 16 << 20;

/** A seed for a session's fingerprints, drawn at random, as 16 hex digits. */
export function drawFingerprintSeed(): string {
  const [seed] = crypto.getRandomValues(new BigUint64Array(1));
  return (seed as bigint).toString(16).padStart(16, "0");
}

/** The fingerprints of `pageCount` zero pages: what a fresh machine's memory has. */
export function zeroFingerprints(kernels: Kernels, seed: string, pageBytes: number, pageCount: number): Uint8Array {
  const { arena, fingerprint } = kernels;
  const mark = arena.mark();
  const page = arena.allocatePages(1, pageBytes);
  page.bytes.fill(0);
  const one = arena.allocate(FINGERPRINT_BYTES);
  fingerprint.pages(page, pageBytes, fingerprint.secret(BigInt(`0x${seed}`)), one);
  const fingerprints = new Uint8Array(pageCount * FINGERPRINT_BYTES);
  if (pageCount > 0) fingerprints.set(one.bytes);
  for (let filled = FINGERPRINT_BYTES; filled < fingerprints.length; filled *= 2)
    fingerprints.copyWithin(filled, 0, filled);
  arena.release(mark);
  return fingerprints;
}

/** The digest that source and destination compare: SHA-256 over those of the state and of the fingerprints of all memory. */
export async function digestOf(fingerprints: Uint8Array, stateDigest: Promise<ArrayBuffer>): Promise<string> {
  const parts: Promise<ArrayBuffer>[] = [stateDigest];
  for (let at = 0; at < fingerprints.length; at += DIGEST_CHUNK_BYTES) {
    parts.push(sha256(fingerprints.subarray(at, at + DIGEST_CHUNK_BYTES)));
  }
  const digests = await Promise.all(parts);
  const joined = new Uint8Array(digests.length * 32);
  digests.forEach((digest, index) => {
    joined.set(new Uint8Array(digest), index * 32);
  });
  return hex(new Uint8Array(await sha256(joined)));
}

/** WebCrypto takes some milliseconds to be loaded: better before the machine stands still. */
export async function loadDigest(): Promise<void> {
  await sha256(new Uint8Array(0));
}

/** SHA-256, made on another thread where the runtime has one for it; WebCrypto takes no shared memory. */
export function sha256(bytes: Uint8Array): Promise<ArrayBuffer> {
  const isShared = !(bytes.buffer instanceof ArrayBuffer);
  return crypto.subtle.digest("SHA-256", isShared ? new Uint8Array(bytes) : (bytes as Uint8Array<ArrayBuffer>));
}
