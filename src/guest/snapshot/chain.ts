import { GuestError } from "../errors.js";
import { applyBatches } from "../file/batches.js";
import { digestOf } from "../file/digest.js";
import type { PatchReader } from "../file/patch.js";
import { nextTurn } from "../turn.js";
import { snapshotMalformed } from "./machine-image.js";
import { MemoryImage } from "./memory-image.js";

/**
 * Makes the image of the last of some patches, each of which builds on the one before it, and the first on `base`, whose bytes are left as they are.
 * Patches are read one after another. Throws `snapshot-malformed` where they do not make the image that the last one promises.
 */
export async function rebuild(
  base: MemoryImage,
  count: number,
  read: (index: number) => Promise<PatchReader>,
): Promise<MemoryImage> {
  let bytes = base.bytes;
  let digest: string | undefined;
  for (let index = 0; index < count; index++) {
    const patch = await read(index);
    const { next, pageBytes } = patch.header;
    const image = new MemoryImage("the snapshot", resized(bytes, next.byteLength, index === 0), pageBytes);
    await inSnapshotWords(() => applyBatches(patch, image));
    bytes = image.bytes;
    digest = next.digest;
  }
  const image = new MemoryImage("the snapshot", bytes);
  // One check at the end covers all patches before it: only right ones lead there.
  if (digest !== undefined && (await digestOf(image, nextTurn)) !== digest) {
    throw snapshotMalformed("it does not make the machine that it promises");
  }
  return image;
}

/** Errors of patches as errors of snapshots. */
export async function inSnapshotWords<Result>(work: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof GuestError) || error.code !== "patch-malformed") throw error;
    throw new GuestError("snapshot-malformed", error.message.replace("The patch", "The snapshot"), { cause: error });
  }
}

/** Bytes of another length, the same as far as they go; the base of all is never written to. */
function resized(bytes: Uint8Array, byteLength: number, isBase: boolean): Uint8Array {
  if (bytes.length === byteLength && !isBase) return bytes;
  const other = new Uint8Array(byteLength);
  other.set(bytes.subarray(0, byteLength));
  return other;
}
