export { bitmapAnd, bitmapAndNot, bitmapCount, bitmapExpand, bitmapNextRun, bitmapOr } from "./bitmap";
export { dedupClear, dedupCompare, dedupEntries, dedupFind, dedupInsert, dedupRemove, dedupReplace } from "./dedup";
export { deltaDecode, deltaDecodeList, deltaEncode, deltaEncodeList } from "./delta";
export { fingerprintPages, fingerprintScan } from "./fingerprint";
export { lz4Compress, lz4Decompress } from "./lz4";
export { scanCompare, scanFill, scanZero } from "./scan";
