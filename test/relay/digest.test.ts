import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { newKernels } from "../../src/relay/codecs.js";
import { StreamDigest } from "../../src/relay/digest.js";
import { Random } from "../support/random.js";
import { xxh3Long128 } from "../twin/xxh3.js";

const SEED = 0x0123_4567_89ab_cdefn;
const PIECE_BYTES = 65536;
const MAX_BYTES = 3 * PIECE_BYTES;
const bytes = new Random(1).bytes(MAX_BYTES);

function digestsOf(parts: readonly (readonly [from: number, to: number])[], seed = SEED, content = bytes): string[] {
  const kernels = newKernels();
  const stream = kernels.arena.allocate(MAX_BYTES);
  stream.bytes.set(content);
  const digest = new StreamDigest(kernels, seed, MAX_BYTES);
  return parts.map(([from, to]) => Buffer.from(digest.add(stream, from, to)).toString("hex"));
}

/** As docs/relay-protocol.md has it. */
function twin(parts: readonly (readonly [from: number, to: number])[]): string[] {
  const secret = newKernels().fingerprint.secret(SEED).bytes;
  let digest = Buffer.alloc(32);
  return parts.map(([from, to]) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(to - from));
    const hash = createHash("sha256").update(digest).update(length);
    for (let at = from; at < to; at += PIECE_BYTES) {
      const piece = Buffer.alloc(PIECE_BYTES);
      piece.set(bytes.subarray(at, Math.min(to, at + PIECE_BYTES)));
      const { low, high } = xxh3Long128(piece, secret);
      const fingerprint = Buffer.alloc(16);
      fingerprint.writeBigUInt64LE(low);
      fingerprint.writeBigUInt64LE(high, 8);
      hash.update(fingerprint);
    }
    digest = hash.digest();
    return digest.toString("hex");
  });
}

describe("a stream's digest", () => {
  it("is what the protocol says, for parts of every length", () => {
    const parts = [
      [0, 1],
      [1, 100],
      [7, 7 + PIECE_BYTES],
      [0, PIECE_BYTES + 1],
      [3, 3 + 2 * PIECE_BYTES],
      [0, MAX_BYTES],
    ] as const;
    expect(digestsOf(parts)).toEqual(twin(parts));
  });

  it("depends on every byte, on how many there are, on all parts before and on the seed", () => {
    const parts = [
      [0, 1000],
      [1000, 70_000],
    ] as const;
    const before = digestsOf(parts);
    for (const at of [0, 999, 1000, 1000 + PIECE_BYTES, 69_999]) {
      const changed = bytes.slice();
      changed[at] = (changed[at] as number) ^ 1;
      expect(digestsOf(parts, SEED, changed)[1], `${at}`).not.toBe(before[1]);
    }
    const zeros = new Uint8Array(MAX_BYTES);
    expect(digestsOf([[0, 10]], SEED, zeros)).not.toEqual(digestsOf([[0, 11]], SEED, zeros));
    expect(digestsOf([[1000, 70_000]])[0]).not.toBe(before[1]);
    expect(digestsOf(parts, SEED + 1n)[1]).not.toBe(before[1]);
  });
});
