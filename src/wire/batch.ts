import { WireError } from "./errors.js";
import { VARINT_MAX_BYTES } from "./varint.js";

/*
 * A batch of pages:
 *
 *      0  u8   codec of the block: 1 none, 2 LZ4 block, 3 zstd frame
 *      1  u8   0
 *      2  u16  0
 *      4  u32  runs in the index
 *      8  u32  bytes of the residual stream
 *     12  u32  bytes of the index
 *     16       block: residual stream, then index, compressed together
 *
 * The residual stream has all payloads and novel pages in the index's order. What stands behind them is an annex: bytes for whoever is given the
 * batch's pages, and malformed where nobody asked for one.
 *
 * The index is a list of runs: pages of one class that follow each other. Every number is a varint.
 *
 *     gap      pages between the end of the run before (or page 0) and this run's first page, plus 2^32 when negative
 *     head     length × 8 + class
 *     zero     nothing
 *     fill     the eight bytes that are repeated
 *     dup      distance to the first of the pages that hold the content already, zigzag
 *     delta    for each page the bytes of its XBZRLE payload in the residual stream
 *     novel    nothing; each page takes its bytes from the residual stream
 *     same     nothing: the pages as the receiver holds them; listed only for a receiver that wants every page
 *     passing  as novel, but a cache does not keep the page, nor an older version of it
 *
 * All numbers of the header are little-endian. Pages change in the index's order: a dup may name a page of an earlier run.
 */

/** How a page travels. */
export const PageClass: {
  readonly zero: 1;
  readonly fill: 2;
  readonly dup: 3;
  readonly delta: 4;
  readonly novel: 5;
  readonly same: 6;
  readonly passing: 7;
} = Object.freeze({ zero: 1, fill: 2, dup: 3, delta: 4, novel: 5, same: 6, passing: 7 });
export type PageClass = (typeof PageClass)[keyof typeof PageClass];

/** What compresses the blocks of batches; the numbers on the wire are 1, 2, 3. */
export type Codec = "none" | "lz4" | "zstd";
const CODECS: readonly Codec[] = ["none", "lz4", "zstd"];

export const BATCH_HEADER_BYTES = 16;
/** Limits of one batch, the same for everybody: what a decoder must have room for. */
export const BATCH_MAX_PAGES = 16384;
export const BATCH_MAX_RESIDUAL_BYTES: number = 8 << 20;
export const BATCH_MAX_INDEX_BYTES: number = BATCH_MAX_PAGES * (2 * VARINT_MAX_BYTES + 8);

/** The header of a batch. */
export interface BatchHeader {
  readonly codec: Codec;
  readonly runCount: number;
  readonly residualBytes: number;
  readonly indexBytes: number;
}

/** Writes the header to where the batch begins. */
export function writeBatchHeader(batch: Uint8Array, header: BatchHeader): void {
  const view = new DataView(batch.buffer, batch.byteOffset, BATCH_HEADER_BYTES);
  view.setUint32(0, CODECS.indexOf(header.codec) + 1, true);
  view.setUint32(4, header.runCount, true);
  view.setUint32(8, header.residualBytes, true);
  view.setUint32(12, header.indexBytes, true);
}

/** Reads a batch's header and checks its sizes against the limits. Throws `batch-malformed`. */
export function decodeBatchHeader(batch: Uint8Array): BatchHeader {
  if (batch.length < BATCH_HEADER_BYTES) throw malformed("it is shorter than its header");
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  const codec = CODECS[view.getUint8(0) - 1];
  if (codec === undefined) throw malformed(`codec ${view.getUint8(0)} is unknown`);
  if (view.getUint8(1) !== 0 || view.getUint16(2, true) !== 0) throw malformed("a reserved byte is not 0");
  const runCount = view.getUint32(4, true);
  const residualBytes = view.getUint32(8, true);
  const indexBytes = view.getUint32(12, true);
  if (runCount > BATCH_MAX_PAGES) throw malformed(`it has ${runCount} runs`);
  if (residualBytes > BATCH_MAX_RESIDUAL_BYTES) throw malformed(`its residual stream has ${residualBytes} bytes`);
  if (indexBytes > BATCH_MAX_INDEX_BYTES) throw malformed(`its index has ${indexBytes} bytes`);
  return { codec, runCount, residualBytes, indexBytes };
}

/** The error for a batch that breaks the format. */
export function malformed(reason: string): WireError {
  return new WireError("batch-malformed", `A batch of pages is malformed: ${reason}.`);
}
