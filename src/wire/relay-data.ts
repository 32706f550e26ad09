import { BATCH_HEADER_BYTES, BATCH_MAX_INDEX_BYTES, BATCH_MAX_RESIDUAL_BYTES } from "./batch.js";
import { WireError } from "./errors.js";

/*
 * The body of a relay's data frame:
 *
 *      0  u32  bytes of the stream that it stands for
 *      4  u32  the codec that it was encoded in
 *      8       digest of the stream up to its end, 32 bytes
 *     40       a batch of pages, its annex the script that makes the stream of them
 */
export const RELAY_DATA_HEADER_BYTES = 40;
export const RELAY_DIGEST_BYTES = 32;
/** The most bytes of the stream in one frame. */
export const RELAY_MAX_RAW_BYTES: number = 4 << 20;
/** A script's numbers and names take no more than this beyond the bytes of the stream. */
export const RELAY_MAX_SCRIPT_BYTES: number = 256 << 10;
export const RELAY_DATA_MAX_BYTES: number =
  RELAY_DATA_HEADER_BYTES + BATCH_HEADER_BYTES + BATCH_MAX_RESIDUAL_BYTES + BATCH_MAX_INDEX_BYTES;

/** What a data frame says of itself. */
export interface RelayData {
  readonly rawBytes: number;
  readonly codec: number;
  readonly digest: Uint8Array;
  readonly batch: Uint8Array;
}

export function encodeRelayData({ rawBytes, codec, digest, batch }: RelayData): Uint8Array {
  const body = new Uint8Array(RELAY_DATA_HEADER_BYTES + batch.length);
  const view = new DataView(body.buffer);
  view.setUint32(0, rawBytes, true);
  view.setUint32(4, codec, true);
  body.set(digest, 8);
  body.set(batch, RELAY_DATA_HEADER_BYTES);
  return body;
}

/** Views of the body; throws `message-malformed`. */
export function decodeRelayData(body: Uint8Array): RelayData {
  if (body.length < RELAY_DATA_HEADER_BYTES) {
    throw new WireError("message-malformed", "A data frame is shorter than its header.");
  }
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const rawBytes = view.getUint32(0, true);
  if (rawBytes > RELAY_MAX_RAW_BYTES) {
    throw new WireError("message-malformed", `A data frame stands for ${rawBytes} bytes, which is too many.`);
  }
  return {
    rawBytes,
    codec: view.getUint32(4, true),
    digest: body.subarray(8, 8 + RELAY_DIGEST_BYTES),
    batch: body.subarray(RELAY_DATA_HEADER_BYTES),
  };
}

/** The body of a `delivered` frame: how many bytes of the stream QEMU has taken, from its start on. */
export function encodeDelivered(bytes: number): Uint8Array {
  const body = new Uint8Array(8);
  new DataView(body.buffer).setBigUint64(0, BigInt(bytes), true);
  return body;
}

/** Throws `message-malformed`. */
export function decodeDelivered(body: Uint8Array): number {
  if (body.length !== 8) throw new WireError("message-malformed", "A frame of what was delivered has not 8 bytes.");
  return Number(new DataView(body.buffer, body.byteOffset, 8).getBigUint64(0, true));
}
