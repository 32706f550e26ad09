import type { Checksum } from "../../../wire/checksum.js";
import { WireError } from "../../../wire/errors.js";
import { FIRST_OPTIONAL_TYPE, FRAME_HEADER_BYTES, FrameParser } from "../../../wire/frame.js";
import { peekFrame } from "../../../wire/frame-at.js";
import { malformed, PATCH_FRAMES, type PatchHeader, type PatchInput } from "../patch.js";
import { BATCH_TYPE, PATCH_HEADER_BYTES } from "../patch-layout.js";

const MAX_FRAME_BYTES = FRAME_HEADER_BYTES + (PATCH_FRAMES.get(BATCH_TYPE) as number);

/** The batches of a patch, read in any order. */
export class PatchFrames {
  /** How many batches can be found: fewer than the patch has where the length of one is damaged. */
  readonly count: number;
  /** Whether all batches can be found. */
  readonly isWhole: boolean;
  readonly #input: PatchInput;
  readonly #checksum: Checksum;
  readonly #positions: number[] = [];
  readonly #lengths: number[] = [];

  /** Walks over the frames of a patch whose header has been read; a few bytes of each are looked at. Throws `image`. */
  constructor(input: PatchInput, checksum: Checksum, { batches, patchBytes }: PatchHeader) {
    this.#input = input;
    this.#checksum = checksum;
    const header = new Uint8Array(FRAME_HEADER_BYTES);
    let position = PATCH_HEADER_BYTES;
    while (position < patchBytes) {
      const frame = peekFrame(header.subarray(0, input.read(position, header)));
      if (frame === undefined || frame.frameBytes > Math.min(MAX_FRAME_BYTES, patchBytes - position)) break;
      if (frame.type === BATCH_TYPE) {
        this.#positions.push(position);
        this.#lengths.push(frame.frameBytes);
      } else if (frame.type < FIRST_OPTIONAL_TYPE) {
        break;
      }
      position += frame.frameBytes;
    }
    this.count = this.#positions.length;
    this.isWhole = position === patchBytes && this.count === batches;
  }

  /** The bytes of one batch, the caller's own. Throws `patch-malformed` where they are damaged, and `image`. */
  read(batch: number): Uint8Array {
    const position = this.#positions[batch] as number;
    const bytes = new Uint8Array(this.#lengths[batch] as number);
    if (this.#input.read(position, bytes) < bytes.length) throw malformed("it has become shorter");
    const parser = new FrameParser(this.#checksum, PATCH_FRAMES);
    try {
      parser.push(bytes);
      const frame = parser.next();
      if (frame?.channel !== 0) throw malformed("it has a frame on another channel");
      return frame.body;
    } catch (error) {
      if (error instanceof WireError) throw malformed(error.message, error);
      throw error;
    }
  }
}
