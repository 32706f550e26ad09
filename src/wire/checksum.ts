import xxhash from "xxhash-wasm";

/** XXH64 of bytes, from a seed. */
export type Checksum = (bytes: Uint8Array, seed: bigint) => bigint;

/** Loads xxhash-wasm's XXH64. Each caller gets an instance of its own, whose memory grows to the largest input. */
export async function loadChecksum(): Promise<Checksum> {
  const { h64Raw } = await xxhash();
  return h64Raw;
}
