import { DEFAULT_CACHE_BYTES } from "../../page/create.js";
import { type Checksum, loadChecksum } from "../../wire/checksum.js";
import { GuestError } from "../errors.js";
import { writeDifference } from "../file/difference.js";
import { digestOf } from "../file/digest.js";
import { PATCH_HEADER_BYTES, type PatchHeader, PatchReader, PatchWriter } from "../file/patch.js";
import type { Guest, Host, Machine } from "../guest.js";
import { nextTurn } from "../turn.js";
import { captureMachine, checkImageBytes } from "./capture.js";
import { inSnapshotWords, rebuild } from "./chain.js";
import { readImageLayout, snapshotMalformed } from "./machine-image.js";
import { MemoryImage } from "./memory-image.js";
import { PatchBuffer, patchInput } from "./patch-bytes.js";
import { restoreMachine } from "./restore.js";
import type { SnapshotStorage, StoredFile } from "./storage.js";

const DEFAULT_MAX_IMAGE_BYTES = 512 << 20;
/** A snapshot's file has its name: the digest of its image. */
const FILE_NAME = /^([0-9a-f]{64})\.patch$/;
const EMPTY = new MemoryImage("nothing", new Uint8Array(0));

/** Options of a {@link SnapshotStore}. */
export interface SnapshotStoreOptions {
  /** Larger machines are neither saved nor restored; up to four times as much memory is taken for a while. Default: 512 MiB. */
  readonly maxImageBytes?: number;
}

/** A snapshot that is kept. */
export interface Snapshot {
  /** The digest of its image, 64 hex digits. */
  readonly id: string;
  /** Bytes of its file. */
  readonly storedBytes: number;
  /** When it was stored, in milliseconds since 1970. */
  readonly storedAtMs: number;
  /** What its file says of itself; undefined where the file is damaged, so that the snapshot can only be removed. */
  readonly patch: PatchHeader | undefined;
}

/** A snapshot that has just been saved. */
export interface SavedSnapshot {
  readonly id: string;
  /** Bytes of its file; 0 where nothing had changed since a snapshot that is kept. */
  readonly storedBytes: number;
  /** How long the machine stood still. */
  readonly pausedMs: number;
}

/**
 * Keeps snapshots of machines: the first one whole, and of each further one what changed, as patches that `pageferry apply` takes too. The last
 * image is kept in memory, so that the next snapshot is quick. One call is done after another.
 */
export class SnapshotStore {
  readonly #storage: SnapshotStorage;
  readonly #checksum: Checksum;
  readonly #maxImageBytes: number;
  /** The image of the snapshot that was saved or restored last. */
  #last: { readonly id: string; readonly image: MemoryImage } | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(storage: SnapshotStorage, checksum: Checksum, maxImageBytes: number) {
    this.#storage = storage;
    this.#checksum = checksum;
    this.#maxImageBytes = maxImageBytes;
  }

  static async open(
    storage: SnapshotStorage,
    { maxImageBytes = DEFAULT_MAX_IMAGE_BYTES }: SnapshotStoreOptions = {},
  ): Promise<SnapshotStore> {
    return new SnapshotStore(storage, await loadChecksum(), maxImageBytes);
  }

  /** All snapshots, the newest first. Throws `storage-failed`. */
  list(): Promise<readonly Snapshot[]> {
    return this.#inTurn(() => this.#list());
  }

  /**
   * Saves a machine, which stands still only until its memory and state are copied, and runs on whatever fails. Throws `snapshot-too-large`,
   * `storage-full`, `storage-failed`, and what the guest throws; earlier snapshots stay as they are.
   */
  save(guest: Guest): Promise<SavedSnapshot> {
    return this.#inTurn(async () => {
      const { image, pausedMs } = await captureMachine(guest, this.#maxImageBytes);
      const { id, bytes } = await this.#encode(await this.#baseFor(image), image);
      const isKept = (await this.#list()).some((other) => other.id === id && other.patch !== undefined);
      if (!isKept) await this.#storage.write(fileNameOf(id), bytes);
      this.#last = { id, image };
      return { id, storedBytes: isKept ? 0 : bytes.length, pausedMs };
    });
  }

  /**
   * Starts the snapshot's machine in a host. Throws `snapshot-missing`, `snapshot-base`, `snapshot-malformed`, `snapshot-too-large`, and what
   * {@link restoreMachine} throws; then nothing has been started.
   */
  restore(id: string, host: Host): Promise<Machine> {
    return this.#inTurn(async () => {
      const image = await this.#imageOf(id);
      const machine = await restoreMachine(image, host);
      this.#last = { id, image };
      return machine;
    });
  }

  /** Throws `snapshot-in-use` where another snapshot builds on this one, and `storage-failed`. */
  remove(id: string): Promise<void> {
    return this.#inTurn(async () => {
      if ((await this.#list()).some(({ patch }) => patch?.base.digest === id)) {
        throw new GuestError(
          "snapshot-in-use",
          "A later snapshot holds only what changed since this one; remove that one first.",
        );
      }
      await this.#storage.remove(fileNameOf(id));
      if (this.#last?.id === id) this.#last = undefined;
    });
  }

  /** The snapshot as one patch that builds on nothing, for a file of its own. Throws what {@link restore} does before it starts anything. */
  export(id: string): Promise<Uint8Array> {
    return this.#inTurn(async () => (await this.#encode(EMPTY, await this.#imageOf(id))).bytes);
  }

  /**
   * Keeps a patch that was exported or made by `pageferry diff`; returns its id. Throws `snapshot-malformed`, `snapshot-base` where it builds on
   * a snapshot that is not here, `snapshot-too-large`, `storage-full`, `storage-failed`; then nothing of it is kept.
   */
  import(bytes: Uint8Array): Promise<string> {
    return this.#inTurn(async () => {
      const patch = await this.#read(bytes);
      const { base, next } = patch.header;
      const { image, chain } = await this.#chainTo(base.digest, base.byteLength);
      const made = await rebuild(image, chain.length + 1, async (index) =>
        index === chain.length ? patch : await this.#load(chain[index] as string),
      );
      readImageLayout(made);
      const isKept = (await this.#list()).some((other) => other.id === next.digest && other.patch !== undefined);
      if (!isKept) await this.#storage.write(fileNameOf(next.digest), bytes);
      return next.digest;
    });
  }

  async #list(): Promise<readonly Snapshot[]> {
    const files = (await this.#storage.list()).filter(({ name }) => FILE_NAME.test(name));
    const snapshots = await Promise.all(files.map((file) => this.#describe(file)));
    return snapshots.sort((left, right) => right.storedAtMs - left.storedAtMs);
  }

  async #describe({ name, byteLength, writtenAtMs }: StoredFile): Promise<Snapshot> {
    const id = name.slice(0, 64);
    let patch: PatchHeader | undefined;
    try {
      const head = await this.#storage.read(name, PATCH_HEADER_BYTES);
      const { header } = new PatchReader(patchInput(head, byteLength), this.#checksum);
      if (header.next.digest === id) patch = header;
    } catch (error) {
      if (!(error instanceof GuestError) || error.code === "storage-failed") throw error;
    }
    return { id, storedBytes: byteLength, storedAtMs: writtenAtMs, patch };
  }

  /** The image of the snapshot before: the last one here, or else the newest of a machine of this size that can be read. */
  async #baseFor(image: MemoryImage): Promise<MemoryImage> {
    const snapshots = await this.#list();
    const last = snapshots.find(({ id, patch }) => id === this.#last?.id && patch !== undefined);
    if (last !== undefined && this.#last !== undefined) return this.#last.image;
    const newest = snapshots.find(({ patch }) => patch?.next.byteLength === image.byteLength);
    if (newest === undefined) return EMPTY;
    try {
      return await this.#imageOf(newest.id);
    } catch (error) {
      // A snapshot that cannot be restored is none to build on.
      if (error instanceof GuestError && error.code.startsWith("snapshot-")) return EMPTY;
      throw error;
    }
  }

  async #encode(base: MemoryImage, image: MemoryImage): Promise<{ readonly id: string; readonly bytes: Uint8Array }> {
    const output = new PatchBuffer();
    const patch = new PatchWriter(output, this.#checksum);
    const { next } = await writeDifference(base, image, patch, { cacheBytes: DEFAULT_CACHE_BYTES });
    return { id: next.digest, bytes: output.bytes };
  }

  async #imageOf(id: string): Promise<MemoryImage> {
    if (!(await this.#list()).some((snapshot) => snapshot.id === id)) {
      throw new GuestError("snapshot-missing", "There is no such snapshot.");
    }
    const { image, chain } = await this.#chainTo(id, undefined);
    return chain.length === 0
      ? image
      : await rebuild(image, chain.length, (index) => this.#load(chain[index] as string));
  }

  /** An image that is at hand, and the snapshots that lead from it to one of them, in order. */
  async #chainTo(
    id: string,
    byteLength: number | undefined,
  ): Promise<{ readonly image: MemoryImage; readonly chain: readonly string[] }> {
    const snapshots = new Map((await this.#list()).map((snapshot) => [snapshot.id, snapshot]));
    const emptyId = await digestOf(EMPTY, nextTurn);
    const chain: string[] = [];
    for (let at = id, bytes = byteLength; at !== emptyId; ) {
      if (at === this.#last?.id && snapshots.has(at)) return { image: this.#last.image, chain: chain.reverse() };
      const snapshot = snapshots.get(at);
      if (snapshot === undefined) {
        throw new GuestError("snapshot-base", `The snapshot builds on another one that is not here (${at}).`);
      }
      const { patch } = snapshot;
      // A snapshot that stands in the chain twice would build on itself.
      if (patch === undefined || chain.includes(at) || (bytes !== undefined && bytes !== patch.next.byteLength)) {
        throw snapshotMalformed(at === id ? "its file cannot be read" : "one that it builds on cannot be read");
      }
      checkImageBytes(patch.next.byteLength, this.#maxImageBytes);
      chain.push(at);
      at = patch.base.digest;
      bytes = patch.base.byteLength;
    }
    return { image: EMPTY, chain: chain.reverse() };
  }

  async #load(id: string): Promise<PatchReader> {
    return await this.#read(await this.#storage.read(fileNameOf(id)));
  }

  /** A patch whose image is not too large. */
  async #read(bytes: Uint8Array): Promise<PatchReader> {
    const patch = await inSnapshotWords(() => new PatchReader(patchInput(bytes), this.#checksum));
    checkImageBytes(patch.header.next.byteLength, this.#maxImageBytes);
    return patch;
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return await result;
  }
}

function fileNameOf(id: string): string {
  return `${id}.patch`;
}
