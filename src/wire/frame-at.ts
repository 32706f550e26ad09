import { FRAME_HEADER_BYTES } from "./frame.js";

/** What the header of a frame says, unchecked. */
export interface FrameHeader {
  readonly type: number;
  /** Of header and body together. */
  readonly frameBytes: number;
}

/** Reads the header that `bytes` begin with, for those who walk from frame to frame without reading the bodies; undefined where it is cut off. */
export function peekFrame(bytes: Uint8Array): FrameHeader | undefined {
  if (bytes.length < FRAME_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  return { type: view.getUint8(0), frameBytes: FRAME_HEADER_BYTES + view.getUint32(4, true) };
}
