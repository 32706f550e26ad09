/** All of `pageferry`, and what needs Node: files, TCP, TLS, and v86 with its Linux. */
export { type ApplyOptions, type ApplyStep, applyPatch } from "./guest/file/apply.js";
export { type DiffOptions, type DiffReport, diffImages } from "./guest/file/diff.js";
export { FileGuest, type FileGuestOptions } from "./guest/file/guest.js";
export { FileHost, type FileHostOptions } from "./guest/file/host.js";
export type { ImageName, PatchHeader } from "./guest/file/patch.js";
export { type ImageSummary, type PageSummary, type SummaryOptions, summarizeImage } from "./guest/file/summary.js";
export { type DemoGuest, type DemoOptions, startDemoGuest } from "./guest/v86/image.js";
export { createEmulator, type EmulatorOptions, installedVersion } from "./guest/v86/node.js";
export * from "./index.js";
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
