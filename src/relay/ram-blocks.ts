/*
 * What QEMU says first in its section "ram", all numbers big-endian:
 *
 *     u64  bytes of all blocks, with the flag MEM_SIZE
 *     for each block, until these bytes are used up:
 *       u8   length of its name, never 0
 *            its name
 *       u64  its bytes
 *       u64  where configured: the size of its pages, and its address; multiples of 4096 below 2^56
 *
 * Names do not begin with a zero byte's length, so the numbers behind a block are told from the next block by their first byte; behind the last
 * block they are told from the next record, which has a flag in its low 12 bits.
 */

/** Bytes of a page in QEMU's stream. */
export const PAGE_BYTES = 4096;
/** What a record of the RAM is; docs in qemu-stream.ts. */
export const Flag: Readonly<Record<"zero" | "memSize" | "page" | "eos" | "continue" | "xbzrle" | "flush", number>> =
  Object.freeze({ zero: 0x02, memSize: 0x04, page: 0x08, eos: 0x10, continue: 0x20, xbzrle: 0x40, flush: 0x200 });
/** QEMU names a handful. */
export const MAX_BLOCKS = 256;
/** All pages of one machine: 16 TiB. */
export const MAX_PAGES = 0xffff_fffe;

/** A block of a machine's RAM. */
export interface RamBlock {
  /** As it stands in the stream, without its length: 1 to 255 bytes. */
  readonly name: Uint8Array;
  /** Its size in pages. */
  readonly pageCount: number;
}

/** A table as it was read. */
export interface RamBlocks {
  readonly blocks: readonly RamBlock[];
  /** Where in the bytes the table ends. */
  readonly end: number;
}

/**
 * Reads the table whose first number, at byte `at`, says `totalBytes`. Returns `more` where it goes on behind `end`, and undefined where it is no
 * table that this code understands.
 */
export function readRamBlocks(
  bytes: Uint8Array,
  at: number,
  end: number,
  totalBytes: number,
): RamBlocks | "more" | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  const blocks: RamBlock[] = [];
  let next = at + 8;
  let leftBytes = totalBytes;
  let pages = 0;
  while (leftBytes > 0) {
    if (next >= end) return "more";
    const nameEnd = next + 1 + view.getUint8(next);
    if (nameEnd === next + 1 || blocks.length === MAX_BLOCKS) return undefined;
    if (nameEnd + 8 > end) return "more";
    const blockBytes = readU64(view, nameEnd);
    const pageCount = Math.ceil(blockBytes / PAGE_BYTES);
    pages += pageCount;
    if (blockBytes > leftBytes || pages > MAX_PAGES) return undefined;
    blocks.push({ name: bytes.slice(next + 1, nameEnd), pageCount });
    leftBytes -= blockBytes;
    next = nameEnd + 8;
    for (let extras = 0; extras < 2; extras++) {
      if (next >= end) return "more";
      if (view.getUint8(next) !== 0) break;
      if (next + 8 > end) return "more";
      if (view.getUint32(next + 4) % PAGE_BYTES !== 0) break;
      next += 8;
    }
  }
  return blocks.length === 0 ? undefined : { blocks, end: next };
}

/** A number of 64 bits; beyond 2^53 it is not exact, and larger than everything that is taken for a size. */
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}
