/** What any runtime can use; `pageferry/node` has this and what needs Node. */
export { GuestError, type GuestErrorCode } from "./guest/errors.js";
export { summarizeFaults } from "./guest/faults.js";
export type { ImageName, PatchHeader } from "./guest/file/patch.js";
export type { ImageSource } from "./guest/file/source.js";
export type { FaultReport, Guest, Host, InPlaceMemory, LazyMemory, Machine, MemoryRegion } from "./guest/guest.js";
export { LoggingMemoryGuest, MemoryGuest } from "./guest/memory/guest.js";
export { MemoryHost } from "./guest/memory/host.js";
export { MemoryMachine, type MemoryMachineOptions } from "./guest/memory/machine.js";
export { type Workload, WorkloadWriter } from "./guest/memory/workload.js";
export { type CapturedMachine, captureMachine } from "./guest/snapshot/capture.js";
export { MemoryImage } from "./guest/snapshot/memory-image.js";
export { memoryStorage } from "./guest/snapshot/memory-storage.js";
export { opfsStorage } from "./guest/snapshot/opfs.js";
export { restoreMachine } from "./guest/snapshot/restore.js";
export type { SnapshotStorage, StoredFile } from "./guest/snapshot/storage.js";
export { type SavedSnapshot, type Snapshot, SnapshotStore, type SnapshotStoreOptions } from "./guest/snapshot/store.js";
export { SerialConsole } from "./guest/v86/console.js";
export { createEmulatorOf, type EmulatorOptions, type V86Library } from "./guest/v86/create.js";
export {
  type EmulatorWatch,
  type SerialPort,
  type V86Emulator,
  type V86Processor,
  type V86Shape,
  watchEmulator,
} from "./guest/v86/emulator.js";
export { V86Guest, type V86GuestOptions } from "./guest/v86/guest.js";
export { V86Host, type V86HostOptions } from "./guest/v86/host.js";
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
export type { Arrival, ArrivalRequest, DestinationOptions, RunningArrival } from "./migration/arrival.js";
export { Destination } from "./migration/destination.js";
export { MigrationError, type MigrationErrorCode } from "./migration/errors.js";
export { LostArrival, type LostMachine } from "./migration/lost.js";
export { Migration, MigrationFailure, migrate, ProgressEvent } from "./migration/migrate.js";
export type { MigrateOptions, Strategy } from "./migration/options.js";
export type { ServedPages } from "./migration/page-server.js";
export type { Forecast } from "./migration/prediction.js";
export type { Progress } from "./migration/progress.js";
export type { MigrationOutcome, MigrationReport, PostcopyReport, RoundReport } from "./migration/report.js";
export type { SourceState } from "./migration/state.js";
export type { Compression } from "./page/compression/compressor.js";
export { createPageDecoder, createPageEncoder, DEFAULT_CACHE_BYTES } from "./page/create.js";
export { PageDecoder, type PageDecoderOptions, type PageStore } from "./page/decoder.js";
export { type EncodedPages, PageEncoder, type PageEncoderOptions } from "./page/encoder.js";
export { PageError, type PageErrorCode } from "./page/errors.js";
export type { PageSpace } from "./page/limits.js";
export type { Connection, Peer } from "./transport/connection.js";
export { dataChannelConnection } from "./transport/data-channel.js";
export { TransportError, type TransportErrorCode } from "./transport/errors.js";
export { type DelayOptions, delayConnection } from "./transport/latency.js";
export { type BandwidthOptions, limitBandwidth } from "./transport/limit.js";
export { messagePortConnection } from "./transport/message-port.js";
export { connectionPair, type PairOptions } from "./transport/pair.js";
export { pipeConnections } from "./transport/pipe.js";
export { type ResumableConnectOptions, resumableConnect } from "./transport/resumable.js";
export { ResumableAcceptor, type ResumableAcceptorOptions } from "./transport/resumable-acceptor.js";
export type { ResumableOptions, ResumableState } from "./transport/resumable-options.js";
export { openTabConnection, type TabOptions } from "./transport/tab.js";
export {
  answerOffer,
  type ConnectionAnswer,
  type ConnectionOffer,
  type OfferOptions,
  offerConnection,
} from "./transport/webrtc.js";
export {
  connectWebSocket,
  type WebSocketConnectOptions,
  type WebSocketLike,
  webSocketConnection,
} from "./transport/websocket.js";
export { type Codec, PageClass } from "./wire/batch.js";
export { WireError, type WireErrorCode } from "./wire/errors.js";
export { PROTOCOL_VERSION } from "./wire/messages.js";
export { WorkerError } from "./worker/errors.js";
export { MachineWorker, type MachineWorkerOptions } from "./worker/machine-worker.js";
export type {
  MachineNews,
  MachineSource,
  MachineState,
  V86Location,
  WorkerArrival,
  WorkerMigrateOptions,
} from "./worker/messages.js";
export { WorkerSnapshots } from "./worker/snapshots.js";
