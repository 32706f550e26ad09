import { createHash } from "node:crypto";
import { createXXHash128 } from "hash-wasm";
import { describe, expect, it } from "vitest";
import { createKernels } from "../../src/kernel/load.js";
import { sha256 as digest, digestOf, drawFingerprintSeed, zeroFingerprints } from "../../src/migration/fingerprints.js";
import { hex } from "../../src/wire/hex.js";
import { expectSameBytes } from "../support/bytes.js";
import { Random } from "../support/random.js";

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

describe("fingerprints", () => {
  it("the digest of known fingerprints and a known state stays what it is", async () => {
    const fingerprints = Uint8Array.from({ length: 64 }, (_, at) => at);
    const state = new TextEncoder().encode("state");
    expect(await digestOf(fingerprints, digest(state))).toBe(
      "1bda651c11df2e1d0fc35f77c9440a441d6b3c6db46c4ef12ea63e603e0dd84c",
    );
    expect(await digestOf(new Uint8Array(0), digest(new Uint8Array(0)))).toBe(sha256(sha256()).toString("hex"));
  });

  it("the digest is SHA-256 over the state's and over those of every 16 MiB of fingerprints", async () => {
    const chunkBytes = 16 << 20;
    const fingerprints = new Uint8Array(chunkBytes + 512);
    fingerprints.set(new Random(1).bytes(1000), chunkBytes - 500);
    const state = new Random(2).bytes(99);
    const chunks = [fingerprints.subarray(0, chunkBytes), fingerprints.subarray(chunkBytes)];
    const expected = sha256(sha256(state), ...chunks.map((chunk) => sha256(chunk)));
    expect(await digestOf(fingerprints, digest(state))).toBe(expected.toString("hex"));
  });

  it("the digest changes with every byte of the fingerprints and of the state", async () => {
    const bytes = new Random(3).bytes(48);
    const digests = new Set([await digestOf(bytes, digest(bytes))]);
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at] = (changed[at] as number) ^ 1;
      digests.add(await digestOf(changed, digest(bytes)));
      digests.add(await digestOf(bytes, digest(changed)));
    }
    expect(digests.size).toBe(1 + 2 * bytes.length);
  });

  it("the fingerprints of zero pages are the reference's, for any count of pages", async () => {
    const seed = "00ff00ff12345678";
    const reference = await createXXHash128(0x12345678, 0x00ff00ff);
    // The reference's canonical form is big-endian.
    const one = Buffer.from(reference.init().update(new Uint8Array(1024)).digest("hex"), "hex").reverse();
    const kernels = await createKernels();
    const mark = kernels.arena.mark();
    for (const pageCount of [0, 1, 2, 3, 7, 64, 1000]) {
      const fingerprints = zeroFingerprints(kernels, seed, 1024, pageCount);
      expectSameBytes(fingerprints, Buffer.concat(Array.from({ length: pageCount }, () => one)));
    }
    expect(kernels.arena.mark()).toBe(mark);
  });

  it("seeds are 64 bits in hex, leading zeros and all, and differ", () => {
    const seeds = Array.from({ length: 300 }, drawFingerprintSeed);
    for (const seed of seeds) expect(seed).toMatch(/^[0-9a-f]{16}$/);
    expect(new Set(seeds).size).toBe(seeds.length);
    expect(hex(Uint8Array.of(0, 1, 0xab, 0xff))).toBe("0001abff");
  });
});
