import { GuestError } from "../errors.js";
import type { SnapshotStorage } from "./storage.js";

/** Keeps snapshots in memory, as long as it is there itself. */
export function memoryStorage(): SnapshotStorage {
  const files = new Map<string, { readonly bytes: Uint8Array; readonly writtenAtMs: number }>();
  return {
    async list() {
      return Array.from(files, ([name, { bytes, writtenAtMs }]) => ({ name, byteLength: bytes.length, writtenAtMs }));
    },
    async read(name, maxBytes) {
      const file = files.get(name);
      if (file === undefined) throw new GuestError("snapshot-missing", "There is no such snapshot.");
      return file.bytes.slice(0, maxBytes);
    },
    async write(name, bytes) {
      files.set(name, { bytes: bytes.slice(), writtenAtMs: Date.now() });
    },
    async remove(name) {
      files.delete(name);
    },
  };
}
