export { Arena, type ArenaRegion, bitmapBytes } from "./kernel/arena.js";
export { BitmapKernels, type BitmapRun } from "./kernel/bitmap.js";
export { DEDUP_NONE, DedupKernels, DedupTable } from "./kernel/dedup.js";
export { DELTA_OVERFLOW, DELTA_UNCHANGED, DeltaKernels, type PageList } from "./kernel/delta.js";
export { KernelError, type KernelErrorCode } from "./kernel/errors.js";
export { KERNEL_EXPORT_NAMES, type KernelExports } from "./kernel/exports.js";
export { FINGERPRINT_BYTES, FingerprintKernels } from "./kernel/fingerprint.js";
export {
  type AsyncKernelOptions,
  createKernels,
  createKernelsSync,
  type KernelOptions,
  type KernelSource,
  type Kernels,
} from "./kernel/load.js";
export { LZ4_MAX_INPUT_BYTES, LZ4_STATE_BYTES, Lz4Kernels, lz4Bound } from "./kernel/lz4.js";
export { ScanKernels } from "./kernel/scan.js";
export { Span } from "./kernel/span.js";
