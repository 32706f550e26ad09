import { GuestError } from "../../../src/guest/errors.js";
import { MemoryHost } from "../../../src/guest/memory/host.js";
import { opfsStorage } from "../../../src/guest/snapshot/opfs.js";
import { type Snapshot, SnapshotStore } from "../../../src/guest/snapshot/store.js";
import { machineOf, startMachine } from "./machines.js";

/** What the test has done in a page and in a worker: each step by its name, over one folder. */
const guest = startMachine(4 << 20);

const STEPS = {
  /** Saves twice, with ten writes between. */
  async save(folder: string): Promise<unknown> {
    const store = await SnapshotStore.open(await opfsStorage(folder));
    const first = await store.save(guest);
    guest.content.advance(10);
    const second = await store.save(guest);
    return { storedBytes: [first.storedBytes, second.storedBytes], listed: (await store.list()).length };
  },

  /** Restores all that is there, the oldest first, and counts wrong pages. */
  async restore(folder: string): Promise<unknown> {
    const store = await SnapshotStore.open(await opfsStorage(folder));
    const machines: unknown[] = [];
    for (const { id } of inOrder(await store.list())) {
      const host = new MemoryHost();
      await store.restore(id, host);
      const { steps, isRunning } = machineOf(host);
      machineOf(host).advance(5);
      machines.push({ steps, isRunning, wrongPages: machineOf(host).wrongPages().length });
      await host.discard();
    }
    return machines;
  },

  /** Saves a machine of which much has changed; says what became of that. */
  async saveMore(folder: string): Promise<unknown> {
    const store = await SnapshotStore.open(await opfsStorage(folder));
    for (let at = 2 << 20; at < 4 << 20; at += 65_536) {
      guest.content.bytes.set(crypto.getRandomValues(new Uint8Array(65_536)), at);
    }
    const failure = await store.save(guest).then(
      () => undefined,
      (error: unknown) => error,
    );
    const { code, message } = failure instanceof GuestError ? failure : { code: String(failure), message: "" };
    const files: string[] = [];
    const root = await navigator.storage.getDirectory();
    for await (const name of (await root.getDirectoryHandle(folder)).keys()) files.push(name);
    return { code, message, files: files.length, listed: (await store.list()).length, runs: guest.content.isRunning };
  },

  /** From now on this is a browser that has only the older way to write. */
  async forgetCreateWritable(): Promise<unknown> {
    Object.assign(FileSystemFileHandle.prototype, { createWritable: undefined });
    return undefined;
  },

  /** Leaves a file as a page would that was closed while it wrote; returns how many files an opening leaves. */
  async interrupt(folder: string): Promise<unknown> {
    const root = await navigator.storage.getDirectory();
    const directory = await root.getDirectoryHandle(folder, { create: true });
    await directory.getFileHandle("half.part", { create: true });
    await opfsStorage(folder);
    const files: string[] = [];
    for await (const name of directory.keys()) files.push(name);
    return files;
  },
} as const;
export type Step = keyof typeof STEPS;

/** Snapshots, the oldest first: by what each builds on, since two may be of one millisecond. */
function inOrder(snapshots: readonly Snapshot[]): Snapshot[] {
  return [...snapshots].sort((left, right) => (right.patch?.base.digest === left.id ? -1 : 1));
}

if (globalThis.document === undefined) {
  self.onmessage = async ({ data: [step, folder] }: MessageEvent<[Step, string]>) =>
    postMessage(await STEPS[step](folder));
  postMessage("ready");
} else {
  Object.assign(globalThis, { steps: STEPS });
}
