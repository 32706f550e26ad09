import { GuestError } from "../errors.js";
import type { SnapshotStorage } from "./storage.js";

/** A file that is being written: no snapshot until it has its own name. */
const PART_SUFFIX = ".part";

/** What the types of the DOM do not know of yet, and what not every browser has. */
interface StoredHandle extends Omit<FileSystemFileHandle, "createWritable"> {
  move(name: string): Promise<void>;
  createWritable?(): Promise<FileSystemWritableFileStream>;
  /** In workers only: the way of older Safaris. */
  createSyncAccessHandle(): Promise<{
    write(bytes: Uint8Array, options: { at: number }): number;
    flush(): void;
    close(): void;
  }>;
}

/**
 * Keeps snapshots in a folder of the origin-private file system, in pages and workers. What an earlier page left half written is removed. Throws
 * `storage-failed` where the browser has no such file system, as in a page that did not come over HTTPS or from this machine.
 */
export async function opfsStorage(folderName = "pageferry-snapshots"): Promise<SnapshotStorage> {
  const folder = await attempt(async () => {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(folderName, { create: true });
  });
  for (const { name } of await filesOf(folder)) {
    // What is just being written by another page is locked, and stays.
    if (name.endsWith(PART_SUFFIX)) await folder.removeEntry(name).catch(() => undefined);
  }
  return {
    list: () =>
      attempt(async () => {
        const handles = (await filesOf(folder)).filter(({ name }) => !name.endsWith(PART_SUFFIX));
        const files = await Promise.all(handles.map((handle) => handle.getFile()));
        return files.map(({ name, size, lastModified }) => ({ name, byteLength: size, writtenAtMs: lastModified }));
      }),
    read: (name, maxBytes) =>
      attempt(async () => {
        const file = await (await folder.getFileHandle(name)).getFile();
        return new Uint8Array(await file.slice(0, maxBytes ?? file.size).arrayBuffer());
      }),
    write: (name, bytes) =>
      attempt(async () => {
        const part = `${name}.${crypto.randomUUID()}${PART_SUFFIX}`;
        try {
          const handle = (await folder.getFileHandle(part, { create: true })) as StoredHandle;
          await writeFile(handle, bytes);
          await handle.move(name);
        } catch (error) {
          await folder.removeEntry(part).catch(() => undefined);
          throw error;
        }
      }, bytes.length),
    remove: (name) =>
      attempt(async () => {
        await folder.removeEntry(name);
      }).catch((error: unknown) => {
        if (!(error instanceof GuestError && error.code === "snapshot-missing")) throw error;
      }),
  };
}

async function filesOf(folder: FileSystemDirectoryHandle): Promise<FileSystemFileHandle[]> {
  const handles: FileSystemFileHandle[] = [];
  for await (const handle of folder.values()) {
    if (handle.kind === "file") handles.push(handle as FileSystemFileHandle);
  }
  return handles;
}

async function writeFile(handle: StoredHandle, bytes: Uint8Array): Promise<void> {
  if (handle.createWritable !== undefined) {
    const stream = await handle.createWritable();
    await stream.write(bytes as Uint8Array<ArrayBuffer>);
    await stream.close();
    return;
  }
  const access = await handle.createSyncAccessHandle();
  try {
    for (let at = 0; at < bytes.length; ) {
      const written = access.write(bytes.subarray(at), { at });
      // A browser may also say so that nothing more fits.
      if (written === 0) throw new DOMException("Nothing was written.", "QuotaExceededError");
      at += written;
    }
    access.flush();
  } finally {
    access.close();
  }
}

/** Does something with the file system; its errors as {@link GuestError}s. */
async function attempt<Result>(work: () => Promise<Result>, neededBytes = 0): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    const { name } = cause as { readonly name?: unknown };
    if (name === "NotFoundError") throw new GuestError("snapshot-missing", "There is no such snapshot.", { cause });
    if (name === "QuotaExceededError") throw await storageFull(neededBytes, cause);
    throw new GuestError("storage-failed", "The browser's storage for this page cannot be used.", { cause });
  }
}

async function storageFull(neededBytes: number, cause: unknown): Promise<GuestError> {
  const { quota = 0, usage = 0 } = await navigator.storage.estimate().catch(() => ({}) as StorageEstimate);
  const free = Math.max(0, quota - usage);
  const message = `The browser's storage for this page is full: the snapshot needs ${neededBytes} bytes, and ${free} are free. Remove an older one.`;
  return new GuestError("storage-full", message, { cause });
}
