/**
 * The exports of the kernels' module, as `assembly/` defines them: pointers, lengths and counts are unsigned 32-bit numbers. Each
 * kernel's contract stands with it in `assembly/`; nothing here is checked in release builds, so go through the typed calls where
 * you can.
 */
export interface KernelExports {
  scanZero(pages: number, pageCount: number, pageBytes: number, bitmap: number): number;
  scanFill(pages: number, pageCount: number, pageBytes: number, bitmap: number, words: number): number;
  scanCompare(left: number, right: number, pageCount: number, pageBytes: number, bitmap: number): number;

  fingerprintPages(pages: number, pageCount: number, pageBytes: number, secret: number, fingerprints: number): void;
  fingerprintScan(
    pages: number,
    pageCount: number,
    pageBytes: number,
    secret: number,
    fingerprints: number,
    bitmap: number,
  ): number;

  bitmapAnd(left: number, right: number, out: number, bitCount: number): void;
  bitmapOr(left: number, right: number, out: number, bitCount: number): void;
  bitmapAndNot(left: number, right: number, out: number, bitCount: number): void;
  bitmapCount(bitmap: number, bitCount: number): number;
  bitmapNextRun(bitmap: number, bitCount: number, from: number, length: number): number;
  bitmapExpand(bitmap: number, bitCount: number, numbers: number): number;

  deltaEncode(before: number, after: number, pageBytes: number, out: number): number;
  deltaEncodeList(
    before: number,
    beforePageCount: number,
    beforePages: number,
    after: number,
    afterPageCount: number,
    afterPages: number,
    listLength: number,
    pageBytes: number,
    lengths: number,
    out: number,
  ): number;
  deltaDecode(payload: number, payloadBytes: number, page: number, pageBytes: number): number;
  deltaDecodeList(
    stream: number,
    streamBytes: number,
    lengths: number,
    pages: number,
    pageCount: number,
    pageList: number,
    listLength: number,
    pageBytes: number,
  ): number;

  dedupClear(table: number, slots: number): void;
  dedupEntries(table: number): number;
  dedupInsert(table: number, fingerprints: number, pages: number, count: number): number;
  dedupFind(table: number, fingerprints: number, pages: number, count: number): number;
  dedupRemove(table: number, fingerprints: number, pages: number, count: number): number;
  dedupReplace(table: number, before: number, after: number, pages: number, count: number): number;
  dedupCompare(
    left: number,
    leftPageCount: number,
    leftPages: number,
    right: number,
    rightPageCount: number,
    rightPages: number,
    count: number,
    pageBytes: number,
    bitmap: number,
  ): number;

  lz4Compress(input: number, inputBytes: number, output: number, state: number): number;
  lz4Decompress(input: number, inputBytes: number, output: number, outputBytes: number): number;
}

/** The names above, for those who check a module before they use it. */
export const KERNEL_EXPORT_NAMES: readonly (keyof KernelExports)[] = Object.freeze([
  "bitmapAnd",
  "bitmapAndNot",
  "bitmapCount",
  "bitmapExpand",
  "bitmapNextRun",
  "bitmapOr",
  "dedupClear",
  "dedupCompare",
  "dedupEntries",
  "dedupFind",
  "dedupInsert",
  "dedupRemove",
  "dedupReplace",
  "deltaDecode",
  "deltaDecodeList",
  "deltaEncode",
  "deltaEncodeList",
  "fingerprintPages",
  "fingerprintScan",
  "lz4Compress",
  "lz4Decompress",
  "scanCompare",
  "scanFill",
  "scanZero",
]);
