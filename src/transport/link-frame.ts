import type { LinkMessage } from "./credited.js";

/**
 * A {@link LinkMessage} as bytes, for links that carry nothing else; one message of the link each.
 *
 *     offset  0      1
 *     bytes   0x01 | the bytes, at least one
 *     credit  0x02 | granted bytes, u32 little-endian, at least 1
 *     close   0x03 |
 *     abort   0x04 |
 */
const TYPES = { bytes: 1, credit: 2, close: 3, abort: 4 } as const;

/** What the type costs in front of a piece. */
export const LINK_HEADER_BYTES = 1;
const CREDIT_FRAME_BYTES = 5;

/** The message as a frame. */
export function encodeLinkMessage(message: LinkMessage): Uint8Array<ArrayBuffer> {
  if (message.type === "bytes") {
    const frame = new Uint8Array(LINK_HEADER_BYTES + message.bytes.length);
    frame[0] = TYPES.bytes;
    frame.set(message.bytes, LINK_HEADER_BYTES);
    return frame;
  }
  if (message.type !== "credit") return Uint8Array.of(TYPES[message.type]);
  const frame = new Uint8Array(CREDIT_FRAME_BYTES);
  frame[0] = TYPES.credit;
  new DataView(frame.buffer).setUint32(LINK_HEADER_BYTES, message.bytes, true);
  return frame;
}

/** The message in a frame, whose bytes are a view of it; undefined where there is none: also where it is text or not binary at all. */
export function decodeLinkMessage(data: unknown): LinkMessage | undefined {
  if (!(data instanceof ArrayBuffer) || data.byteLength === 0) return undefined;
  const frame = new Uint8Array(data);
  const type = frame[0];
  if (type === TYPES.bytes) return { type: "bytes", bytes: frame.subarray(LINK_HEADER_BYTES) };
  if (type === TYPES.credit && frame.length === CREDIT_FRAME_BYTES) {
    return { type: "credit", bytes: new DataView(data).getUint32(LINK_HEADER_BYTES, true) };
  }
  if (frame.length !== LINK_HEADER_BYTES) return undefined;
  if (type === TYPES.close) return { type: "close" };
  return type === TYPES.abort ? { type: "abort" } : undefined;
}
