import { FRAME_HEADER_BYTES } from "../../wire/frame.js";
import { equalBytes } from "./bytes.js";

/*
 * A patch file makes an image of another one:
 *
 *      0   magic: "pageferry patch", line feed
 *     16   frame of type 1, its body 512 bytes: the header, JSON, filled up with spaces
 *    544   frames of type 2: batches of pages, as in src/wire/batch.ts
 *
 * Frames are those of src/wire/frame.ts, on channel 0. Whoever makes a patch lists each page once, in ascending order: that is what makes single pages of it
 * readable. The header stands first, so that the base is checked before anything else, but its digests are
 * known last: it is written in its place at the end. Until then there are zeros, and the file is no patch.
 */
/** What it begins with. */
export const PATCH_MAGIC: Uint8Array = new TextEncoder().encode("pageferry patch\n");
/** The type of the frame that holds the header. */
export const HEADER_TYPE = 1;
/** The type of the frames that hold batches. */
export const BATCH_TYPE = 2;
/** Of the header, filled up. */
export const HEADER_BYTES = 512;
/** What stands before the first batch. */
export const PATCH_HEADER_BYTES: number = PATCH_MAGIC.length + FRAME_HEADER_BYTES + HEADER_BYTES;

/** Whether bytes begin as a patch does. */
export function isPatch(bytes: Uint8Array): boolean {
  return bytes.length >= PATCH_MAGIC.length && equalBytes(bytes.subarray(0, PATCH_MAGIC.length), PATCH_MAGIC);
}
