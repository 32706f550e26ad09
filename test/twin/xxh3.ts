/** XXH3-128 of more than 240 bytes, from the specification, in bigints: the plain twin of the fingerprint kernel. */

const MASK = (1n << 64n) - 1n;
const PRIME32_1 = 0x9e3779b1n;
const PRIME32_2 = 0x85ebca77n;
const PRIME32_3 = 0xc2b2ae3dn;
const PRIME64_1 = 0x9e3779b185ebca87n;
const PRIME64_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME64_3 = 0x165667b19e3779f9n;
const PRIME64_4 = 0x85ebca77c2b2ae63n;
const PRIME64_5 = 0x27d4eb2f165667c5n;

function fold(a: bigint, b: bigint): bigint {
  const product = a * b;
  return (product & MASK) ^ (product >> 64n);
}

function avalanche(hash: bigint): bigint {
  let mixed = hash ^ (hash >> 37n);
  mixed = (mixed * 0x165667919e3779f9n) & MASK;
  return mixed ^ (mixed >> 32n);
}

/** The digest of `input` under a 192-byte secret: the low and the high 64 bits. */
export function xxh3Long128(input: Uint8Array, secret: Uint8Array): { low: bigint; high: bigint } {
  const data = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const key = new DataView(secret.buffer, secret.byteOffset, secret.byteLength);
  const acc = [PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1];
  const accumulate = (at: number, keyAt: number): void => {
    for (let lane = 0; lane < 8; lane++) {
      const value = data.getBigUint64(at + lane * 8, true);
      const keyed = value ^ key.getBigUint64(keyAt + lane * 8, true);
      acc[lane ^ 1] = ((acc[lane ^ 1] as bigint) + value) & MASK;
      acc[lane] = ((acc[lane] as bigint) + (keyed & 0xffffffffn) * (keyed >> 32n)) & MASK;
    }
  };
  const stripesPerBlock = (secret.length - 64) / 8;
  const stripes = Math.floor((input.length - 1) / 64);
  for (let stripe = 0; stripe < stripes; stripe++) {
    accumulate(stripe * 64, (stripe % stripesPerBlock) * 8);
    if ((stripe + 1) % stripesPerBlock === 0) {
      for (let lane = 0; lane < 8; lane++) {
        const value = acc[lane] as bigint;
        const mixed = value ^ (value >> 47n) ^ key.getBigUint64(secret.length - 64 + lane * 8, true);
        acc[lane] = (mixed * PRIME32_1) & MASK;
      }
    }
  }
  accumulate(input.length - 64, secret.length - 64 - 7);

  const merge = (keyAt: number, start: bigint): bigint => {
    let sum = start;
    for (let lane = 0; lane < 8; lane += 2) {
      sum += fold(
        (acc[lane] as bigint) ^ key.getBigUint64(keyAt + lane * 8, true),
        (acc[lane + 1] as bigint) ^ key.getBigUint64(keyAt + lane * 8 + 8, true),
      );
    }
    return avalanche(sum & MASK);
  };
  const length = BigInt(input.length);
  return {
    low: merge(11, (length * PRIME64_1) & MASK),
    high: merge(secret.length - 64 - 11, ~(length * PRIME64_2) & MASK),
  };
}
