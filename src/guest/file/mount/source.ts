import type { FuseRead } from "../../fuse/session.js";

/** What the reads of a mounted file are answered from: an image, a chain, or whatever else has bytes. */
export interface MountSource {
  /** How long the file is, as soon as it is known. Rejects where there will be nothing to read. */
  readonly byteLength: Promise<number>;
  /** Resolves when what takes time is done, so that reads are quick from then on. Rejects where the source is of no use any more: reads fail then. */
  readonly settled: Promise<void>;
  /** Answers a read, now or later, without ever holding up the thread. */
  read(read: FuseRead): void;
  /** No reads come any more. */
  close(): Promise<void>;
}
