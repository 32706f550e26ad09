/** A file of a {@link SnapshotStorage}. */
export interface StoredFile {
  readonly name: string;
  readonly byteLength: number;
  /** When it was written, in milliseconds since 1970. */
  readonly writtenAtMs: number;
}

/** Where snapshots are kept, each in a file. Every method throws `storage-failed`. */
export interface SnapshotStorage {
  list(): Promise<readonly StoredFile[]>;
  /** The file's first `maxBytes` bytes, or all of them. Throws `snapshot-missing`. */
  read(name: string, maxBytes?: number): Promise<Uint8Array>;
  /** Writes a file that is there whole or not at all. Throws `storage-full`. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Calling it again changes nothing. */
  remove(name: string): Promise<void>;
}
