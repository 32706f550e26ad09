/** All of `pageferry`, and what needs Node: files, TCP, TLS, QEMU, and v86 with its Linux. */
export { type ApplyOptions, type ApplyStep, applyPatch } from "./guest/file/apply.js";
export { type SquashOptions, type SquashStep, squashPatches } from "./guest/file/chain/squash.js";
export {
  type ChainSummary,
  type ChainSummaryOptions,
  type LinkSummary,
  summarizeChain,
} from "./guest/file/chain/summary.js";
export { type DiffOptions, diffImages } from "./guest/file/diff.js";
export type { DiffReport } from "./guest/file/difference.js";
export { FileGuest, type FileGuestOptions } from "./guest/file/guest.js";
export { FileHost, type FileHostOptions } from "./guest/file/host.js";
export { ImageFile } from "./guest/file/image.js";
export { keepMachine } from "./guest/file/keep.js";
export { LeafCache } from "./guest/file/leaf-cache.js";
export { type MountedImage, type MountOptions, mountImage } from "./guest/file/mount/mount.js";
export { type ImageSummary, type PageSummary, type SummaryOptions, summarizeImage } from "./guest/file/summary.js";
export type { QmpAddress, QmpTimeout } from "./guest/qemu/address.js";
export { QmpError, type QmpErrorCode } from "./guest/qemu/errors.js";
export type { QmpEvent } from "./guest/qemu/message.js";
export { QmpClient } from "./guest/qemu/qmp.js";
export { type BootedGuest, bootedGuest, type DemoGuest, type DemoOptions, startDemoGuest } from "./guest/v86/image.js";
export { createEmulator, installedVersion } from "./guest/v86/node.js";
export * from "./index.js";
export type { QemuAddress } from "./relay/address.js";
export { RelayError, type RelayErrorCode } from "./relay/errors.js";
export type { RelayEvent, RelayReceiveOptions, RelaySendOptions } from "./relay/options.js";
export { RelayReceiver } from "./relay/receiver.js";
export type { RelayReport } from "./relay/report.js";
export { type RelaySession, relaySend } from "./relay/sender.js";
export {
  type CredentialOptions,
  type Credentials,
  checkCredentials,
  createCredentials,
  readCredentials,
  writeCredentials,
} from "./transport/credentials.js";
export { type ConnectOptions, connectTcp, type Listener, type ListenOptions, listenTcp } from "./transport/tcp.js";
export { connectTls, listenTls, type TlsConnectOptions, type TlsListenOptions } from "./transport/tls.js";
export {
  connectWebSocket,
  listenWebSocket,
  type WebSocketArrival,
  type WebSocketListenOptions,
} from "./transport/websocket-server.js";
