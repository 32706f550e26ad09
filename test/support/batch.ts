import { BATCH_HEADER_BYTES, type BatchHeader, writeBatchHeader } from "../../src/wire/batch.js";

/** A batch's header and block as one piece of bytes. */
export function encodeBatch(header: BatchHeader, block: Uint8Array): Uint8Array {
  const batch = new Uint8Array(BATCH_HEADER_BYTES + block.length);
  writeBatchHeader(batch, header);
  batch.set(block, BATCH_HEADER_BYTES);
  return batch;
}
