/**
 * What the Linux kernel asks a FUSE server for one file, and what is answered. All integers are little-endian, as on every machine that Node runs on.
 * Source: include/uapi/linux/fuse.h of Linux, protocol 7.
 *
 *     request   0   u32 length of all   u32 opcode      8  u64 unique       16  u64 node
 *               24  u32 uid   u32 gid   u32 pid         36 u16 ×2 (extensions)
 *     INIT      40  u32 major  u32 minor  u32 read-ahead bytes  u32 flags
 *     SETATTR   40  u32 valid  u32      48  u64 handle  u64 size …
 *     READ      40  u64 handle          48  u64 offset  56  u32 size …
 *     INTERRUPT 40  u64 unique of another request
 *
 *     answer    0   u32 length of all   i32 -errno      8  u64 unique
 *     INIT      16  u32 major  u32 minor  u32 read-ahead bytes  u32 flags       32  u16 background  u16 congestion
 *               36  u32 write bytes  u32 time granularity                       44  u16 pages a request  u16       48  u32 ×8
 *     GETATTR   16  u64 seconds that it is valid, u32 nanoseconds, u32          32  88 bytes:
 *               u64 node  u64 size  u64 512-byte blocks  u64 ×3 seconds  u32 ×3 nanoseconds  u32 mode  u32 links  u32 uid  u32 gid
 *               u32 device  u32 block bytes  u32 flags
 *     OPEN      16  u64 handle  u32 flags  u32
 *     STATFS    16  u64 ×3 blocks  u64 ×2 files  u32 block bytes  u32 name length  u32 fragment bytes  28 bytes
 *
 *     STORE     0   u32 length of all   i32 4           8  u64 0            16  u64 node  u64 offset  u32 size  u32 0      40  data
 */

const REQUEST_HEADER_BYTES = 40;
/** The header before the body of an answer. */
export const ANSWER_HEADER_BYTES = 16;
const ROOT = 1n;
const BLOCK_BYTES = 4096;
const STAT_BLOCK_BYTES = 512;
const NAME_MAX = 255;
const REGULAR_FILE = 0o100000;

/** Later versions answer with what the older one of the two ends knows; before 28 the pages of a request could not be chosen. */
const MAJOR = 7;
const MINOR_MIN = 28;
const MINOR_MAX = 38;

/** Flags of INIT. */
const ASYNC_READ = 1;
const BIG_WRITES = 1 << 5;
const MAX_PAGES = 1 << 22;
/** A flag of OPEN: what the kernel holds of the file stays good when it is opened again. */
const KEEP_CACHE = 2;
/** A flag of SETATTR. */
const SETS_SIZE = 1 << 3;
const NOTIFY_STORE = 4;
/** How many reads the kernel may have under way that nobody waits for yet. */
const MAX_BACKGROUND = 128;
/** Nobody else changes the file: what the kernel knows of it stays good for a year. */
const VALID_SECONDS = 31_536_000n;

/** Error numbers of Linux, as an answer carries them. */
export const Errno = { EINTR: 4, EIO: 5, EINVAL: 22, EROFS: 30, ENOSYS: 38, EPROTO: 71 } as const;

/** Of what is asked for; all that are not here are answered with ENOSYS, and the kernel does without. */
const Opcode = {
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  FLUSH: 25,
  INIT: 26,
  ACCESS: 34,
  INTERRUPT: 36,
  DESTROY: 38,
  BATCH_FORGET: 42,
} as const;

/** A request of the kernel. `unique` names it in the answer. */
export type FuseRequest = { readonly unique: bigint } & (
  | { readonly kind: "init"; readonly major: number; readonly minor: number; readonly readAheadBytes: number }
  /** `pid` is that of the thread. */
  | { readonly kind: "read"; readonly offset: number; readonly byteLength: number; readonly pid: number }
  /** Whoever waits for the other request has been sent a signal. Expects no answer. */
  | { readonly kind: "interrupt"; readonly other: bigint }
  /** Without a length where something else is to be changed. */
  | { readonly kind: "change"; readonly byteLength: number | undefined }
  | { readonly kind: "attributes" | "open" | "release" | "space" | "write" }
  /** Done as soon as it is asked for. */
  | { readonly kind: "nothing" }
  /** Expects no answer. */
  | { readonly kind: "silent" }
  | { readonly kind: "unknown" | "malformed" }
);

/** Undefined where there is not even a header to answer to. */
export function decodeRequest(bytes: Uint8Array): FuseRequest | undefined {
  if (bytes.length < REQUEST_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const unique = view.getBigUint64(8, true);
  if (view.getUint32(0, true) !== bytes.length) return { unique, kind: "malformed" };
  const has = (byteLength: number): boolean => bytes.length >= REQUEST_HEADER_BYTES + byteLength;
  switch (view.getUint32(4, true)) {
    case Opcode.INIT: {
      if (!has(16)) break;
      const [major, minor] = [view.getUint32(40, true), view.getUint32(44, true)];
      return { unique, kind: "init", major, minor, readAheadBytes: view.getUint32(48, true) };
    }
    case Opcode.READ: {
      if (!has(20)) break;
      const offset = Number(view.getBigUint64(48, true));
      if (!Number.isSafeInteger(offset)) break;
      return { unique, kind: "read", offset, byteLength: view.getUint32(56, true), pid: view.getUint32(32, true) };
    }
    case Opcode.SETATTR: {
      if (!has(24)) break;
      const setsSize = (view.getUint32(40, true) & SETS_SIZE) !== 0;
      return { unique, kind: "change", byteLength: setsSize ? Number(view.getBigUint64(56, true)) : undefined };
    }
    case Opcode.INTERRUPT:
      // An answer that is not understood would be worse than none.
      return has(8) ? { unique, kind: "interrupt", other: view.getBigUint64(40, true) } : { unique, kind: "silent" };
    case Opcode.GETATTR:
      return { unique, kind: "attributes" };
    case Opcode.OPEN:
      return { unique, kind: "open" };
    case Opcode.RELEASE:
      return { unique, kind: "release" };
    case Opcode.STATFS:
      return { unique, kind: "space" };
    case Opcode.WRITE:
      return { unique, kind: "write" };
    case Opcode.FLUSH:
    case Opcode.FSYNC:
    case Opcode.ACCESS:
    case Opcode.DESTROY:
      return { unique, kind: "nothing" };
    case Opcode.FORGET:
    case Opcode.BATCH_FORGET:
      return { unique, kind: "silent" };
    default:
      return { unique, kind: "unknown" };
  }
  return { unique, kind: "malformed" };
}

/** What the file looks like from outside. */
export interface FileAttributes {
  readonly byteLength: number;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Since when it is there, in whole seconds since 1970. */
  readonly seconds: number;
}

/** The header of an answer whose body of `bodyBytes` bytes follows; with an error number, without a body. */
export function encodeHeader(unique: bigint, bodyBytes: number, errno = 0): Uint8Array {
  const bytes = new Uint8Array(ANSWER_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, ANSWER_HEADER_BYTES + bodyBytes, true);
  view.setInt32(4, -errno, true);
  view.setBigUint64(8, unique, true);
  return bytes;
}

/** Whether a kernel of that protocol can be served. */
export function isServable(major: number, minor: number): boolean {
  return major > MAJOR || (major === MAJOR && minor >= MINOR_MIN);
}

/** The body of the answer to INIT: how much may be read ahead and at once, in bytes and in the kernel's pages. */
export function encodeInit(minor: number, readAheadBytes: number, maxReadPages: number): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAJOR, true);
  view.setUint32(4, Math.min(minor, MINOR_MAX), true);
  view.setUint32(8, readAheadBytes, true);
  view.setUint32(12, ASYNC_READ | BIG_WRITES | MAX_PAGES, true);
  view.setUint16(16, MAX_BACKGROUND, true);
  view.setUint16(18, MAX_BACKGROUND, true);
  view.setUint32(20, BLOCK_BYTES, true);
  view.setUint32(24, 1, true);
  view.setUint16(28, maxReadPages, true);
  return bytes;
}

/** The body of the answers to GETATTR and SETATTR. */
export function encodeAttributes({ byteLength, mode, uid, gid, seconds }: FileAttributes): Uint8Array {
  const bytes = new Uint8Array(16 + 88);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, VALID_SECONDS, true);
  view.setBigUint64(16, ROOT, true);
  view.setBigUint64(24, BigInt(byteLength), true);
  view.setBigUint64(32, BigInt(Math.ceil(byteLength / STAT_BLOCK_BYTES)), true);
  for (const at of [40, 48, 56]) view.setBigUint64(at, BigInt(seconds), true);
  view.setUint32(76, REGULAR_FILE | mode, true);
  view.setUint32(80, 1, true);
  view.setUint32(84, uid, true);
  view.setUint32(88, gid, true);
  view.setUint32(96, BLOCK_BYTES, true);
  return bytes;
}

/** The body of the answer to OPEN. */
export function encodeOpen(): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint32(8, KEEP_CACHE, true);
  return bytes;
}

/** The body of the answer to STATFS: one file, no room for more. */
export function encodeSpace(byteLength: number): Uint8Array {
  const bytes = new Uint8Array(80);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(Math.ceil(byteLength / BLOCK_BYTES)), true);
  view.setBigUint64(24, 1n, true);
  view.setUint32(40, BLOCK_BYTES, true);
  view.setUint32(44, NAME_MAX, true);
  view.setUint32(48, BLOCK_BYTES, true);
  return bytes;
}

/** What goes before `byteLength` bytes that the kernel shall hold, unasked, at that offset of the file. */
export function encodeStore(offset: number, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(ANSWER_HEADER_BYTES + 24);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length + byteLength, true);
  view.setInt32(4, NOTIFY_STORE, true);
  view.setBigUint64(16, ROOT, true);
  view.setBigUint64(24, BigInt(offset), true);
  view.setUint32(32, byteLength, true);
  return bytes;
}
