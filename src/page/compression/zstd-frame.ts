import { PageError } from "../errors.js";

/** The most bytes that one frame may hold: a batch stays far below. */
export const ZSTD_MAX_CONTENT_BYTES: number = 2 ** 26;

/** The most history that a frame may ask for: what RFC 8878 wants of every decoder, and what levels up to 19 stay within. */
const MAX_WINDOW_BYTES = 2 ** 23;
const MAX_BLOCK_BYTES = 2 ** 17;
const MAGIC = 0xfd2f_b528;
const CHECKSUM_BYTES = 4;
const BLOCK_HEADER_BYTES = 3;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

/** The most bytes of a frame that holds `contentBytes` bytes: ZSTD_COMPRESSBOUND. */
export function zstdBound(contentBytes: number): number {
  const room = contentBytes < MAX_BLOCK_BYTES ? (MAX_BLOCK_BYTES - contentBytes) >> 11 : 0;
  return contentBytes + (contentBytes >> 8) + room;
}

/**
 * Throws `zstd-malformed` unless `bytes` have the shape of exactly one frame of `contentBytes` bytes, with nothing behind it, no dictionary,
 * and a window of at most 8 MiB. Reads headers only; what the blocks hold is the decoder's to check. Takes no memory.
 *
 *     magic u32 │ descriptor u8 │ window u8? │ dictionary 0–4 │ content size 0–8 │ { header u24, bytes }… │ checksum u32?
 *     descriptor: content size code 7–6, single segment 5, reserved 3, checksum 2, dictionary code 1–0
 *     block header: size 23–3, type 2–1, last 0
 *
 * Source: RFC 8878, section 3.1.1.
 */
export function checkZstdFrame(bytes: Uint8Array, contentBytes: number): void {
  if (bytes.byteLength > zstdBound(contentBytes)) refuse(`no frame of ${contentBytes} bytes is this long`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 5 || view.getUint32(0, true) !== MAGIC) refuse("it does not begin as a frame");
  const descriptor = view.getUint8(4);
  if ((descriptor & 0x08) !== 0) refuse("a reserved bit is set");
  if ((descriptor & 0x03) !== 0) refuse("it asks for a dictionary");
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeAt = isSingleSegment ? 5 : 6;
  const sizeCode = descriptor >> 6;
  const sizeBytes = sizeCode === 0 ? Number(isSingleSegment) : 1 << sizeCode;
  if (sizeBytes === 0) refuse("it does not say how much it holds");
  if (view.byteLength < sizeAt + sizeBytes) refuse("it ends inside its header");
  const size = contentSize(view, sizeAt, sizeBytes);
  if (size !== contentBytes) refuse(`it says that it holds ${size} bytes where ${contentBytes} were expected`);
  const window = isSingleSegment ? contentBytes : windowBytes(view.getUint8(5));
  if (!isSingleSegment && window > MAX_WINDOW_BYTES) refuse(`its window of ${window} bytes is too large`);
  const blocksEnd = endOfBlocks(view, sizeAt + sizeBytes, Math.min(window, MAX_BLOCK_BYTES));
  const end = blocksEnd + ((descriptor & 0x04) === 0 ? 0 : CHECKSUM_BYTES);
  if (end > view.byteLength) refuse("it ends inside a block");
  if (end < view.byteLength) refuse("there are bytes behind its end");
}

/** The error for a frame that is not one. */
export function zstdMalformed(reason: string, options?: ErrorOptions): PageError {
  return new PageError("zstd-malformed", `Not a valid zstd frame: ${reason}.`, options);
}

function refuse(reason: string): never {
  throw zstdMalformed(reason);
}

function contentSize(view: DataView, at: number, sizeBytes: number): number {
  if (sizeBytes === 1) return view.getUint8(at);
  if (sizeBytes === 2) return view.getUint16(at, true) + 256;
  if (sizeBytes === 4) return view.getUint32(at, true);
  return Number(view.getBigUint64(at, true));
}

function windowBytes(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** Walks the blocks from `at`; returns where the last one ends, which may lie past the view's end. */
function endOfBlocks(view: DataView, at: number, maxBlockBytes: number): number {
  for (;;) {
    if (at + BLOCK_HEADER_BYTES > view.byteLength) refuse("it ends before its last block");
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const type = (header >> 1) & 3;
    const blockBytes = header >> 3;
    if (type === RESERVED_BLOCK) refuse("a block has a reserved type");
    if (blockBytes > maxBlockBytes) refuse("a block is too large");
    at += BLOCK_HEADER_BYTES + (type === RLE_BLOCK ? 1 : blockBytes);
    if ((header & 1) !== 0) return at;
  }
}
