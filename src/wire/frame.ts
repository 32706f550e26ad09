import type { Checksum } from "./checksum.js";
import { WireError } from "./errors.js";

/*
 * A frame:
 *
 *     0  u8   type; 0 is never valid; from 128 on a receiver that does not know the type passes over the frame
 *     1  u8   0
 *     2  u16  channel: 0 the session, from 1 on its machines
 *     4  u32  bytes of the body
 *     8  u64  XXH64 of the body, seeded with the eight bytes before
 *    16       body
 *
 * All numbers are little-endian. A body's length is checked against its type's limit before memory is taken for it.
 */
export const FRAME_HEADER_BYTES = 16;
/** From this type on, those who do not know a type pass over its frames. */
export const FIRST_OPTIONAL_TYPE = 128;
/** The most that a frame of a type that is passed over may have. */
const SKIPPED_MAX_BYTES = 1 << 20;

/** A frame as it came. */
export interface Frame {
  readonly type: number;
  readonly channel: number;
  readonly body: Uint8Array;
}

/** A frame as one piece of bytes. */
export function encodeFrame(checksum: Checksum, type: number, channel: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + body.length);
  bytes.set(encodeFrameHeader(checksum, type, channel, body));
  bytes.set(body, FRAME_HEADER_BYTES);
  return bytes;
}

/** What goes before a body, for those who send the two one after the other. */
export function encodeFrameHeader(checksum: Checksum, type: number, channel: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint16(2, channel, true);
  view.setUint32(4, body.length, true);
  view.setBigUint64(8, checksum(body, view.getBigUint64(0, true)), true);
  return bytes;
}

/** Takes bytes as they come and gives whole, checked frames. After an error it is of no use any more. */
export class FrameParser {
  readonly #checksum: Checksum;
  readonly #maxBytes: ReadonlyMap<number, number>;
  readonly #reusedTypes: ReadonlySet<number>;
  #reused = new Uint8Array(0);
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  readonly #view = new DataView(this.#header.buffer);
  #headerBytes = 0;
  #body: Uint8Array<ArrayBuffer> | undefined;
  #bodyBytes = 0;
  #input: Uint8Array = new Uint8Array(0);

  /**
   * `maxBytes`: the types that are known, each with the most bytes that its body may have. `reusedTypes`: those whose bodies share one piece of
   * memory, so that each holds until {@link next} is called again.
   */
  constructor(
    checksum: Checksum,
    maxBytes: ReadonlyMap<number, number>,
    reusedTypes: ReadonlySet<number> = new Set<number>(),
  ) {
    this.#checksum = checksum;
    this.#maxBytes = maxBytes;
    this.#reusedTypes = reusedTypes;
  }

  /** Whether a frame has begun and not ended. */
  get isInsideFrame(): boolean {
    return this.#headerBytes > 0 || this.#input.length > 0;
  }

  /** Gives the parser the next bytes; it keeps them until {@link next} has taken them. All bytes before must have been taken. */
  push(bytes: Uint8Array): void {
    this.#input = bytes;
  }

  /**
   * The next frame, or undefined where more bytes are needed. Throws `frame-unknown`, `frame-too-large`, `checksum`, `message-malformed`.
   */
  next(): Frame | undefined {
    for (;;) {
      if (this.#body === undefined) {
        this.#headerBytes += this.#take(this.#header, this.#headerBytes);
        if (this.#headerBytes < FRAME_HEADER_BYTES) return undefined;
        this.#body = this.#begin();
      }
      this.#bodyBytes += this.#take(this.#body, this.#bodyBytes);
      if (this.#bodyBytes < this.#body.length) return undefined;
      const frame = this.#end(this.#body);
      if (this.#maxBytes.has(frame.type)) return frame;
    }
  }

  #begin(): Uint8Array<ArrayBuffer> {
    const type = this.#view.getUint8(0);
    const length = this.#view.getUint32(4, true);
    const limit = this.#maxBytes.get(type) ?? (type >= FIRST_OPTIONAL_TYPE ? SKIPPED_MAX_BYTES : undefined);
    if (limit === undefined) throw new WireError("frame-unknown", `The peer sent a frame of the unknown type ${type}.`);
    if (length > limit) {
      throw new WireError(
        "frame-too-large",
        `A frame of type ${type} announces ${length} bytes; at most ${limit} are allowed.`,
      );
    }
    if (this.#view.getUint8(1) !== 0) throw new WireError("message-malformed", "A reserved byte of a frame is not 0.");
    if (!this.#reusedTypes.has(type)) return new Uint8Array(length);
    if (this.#reused.length < length) this.#reused = new Uint8Array(length);
    return this.#reused.subarray(0, length);
  }

  #end(body: Uint8Array): Frame {
    if (this.#checksum(body, this.#view.getBigUint64(0, true)) !== this.#view.getBigUint64(8, true)) {
      throw new WireError("checksum", "A frame was damaged on its way: its checksum does not match.");
    }
    this.#headerBytes = this.#bodyBytes = 0;
    this.#body = undefined;
    return { type: this.#view.getUint8(0), channel: this.#view.getUint16(2, true), body };
  }

  #take(into: Uint8Array, at: number): number {
    const count = Math.min(into.length - at, this.#input.length);
    into.set(this.#input.subarray(0, count), at);
    this.#input = this.#input.subarray(count);
    return count;
  }
}
