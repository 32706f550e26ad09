import type { Guest } from "../guest/guest.js";
import type { SavedSnapshot, Snapshot } from "../guest/snapshot/store.js";
import type { Orders } from "./messages.js";

/** What {@link WorkerSnapshots} needs of its worker. */
export type SendOrder = <Name extends keyof Orders>(
  order: Name,
  argument: Orders[Name]["in"],
) => Promise<Orders[Name]["out"]>;

/**
 * The snapshots of this origin, in its private file system: a `SnapshotStore` in the worker, with the same methods, which reject with a `WorkerError` of the
 * same codes. All workers and tabs of the origin see the same snapshots.
 */
export class WorkerSnapshots {
  readonly #order: SendOrder;

  /** Use `MachineWorker.snapshots`. */
  constructor(order: SendOrder) {
    this.#order = order;
  }

  list(): Promise<readonly Snapshot[]> {
    return this.#order("listSnapshots", undefined);
  }

  /** Saves the worker's machine, which stands still only until it is copied. */
  save(): Promise<SavedSnapshot> {
    return this.#order("saveSnapshot", undefined);
  }

  /** Starts the snapshot's machine in the worker, which must be empty; it stays so where that fails. */
  async restore(id: string): Promise<void> {
    await this.#order("restoreSnapshot", { id });
  }

  async remove(id: string): Promise<void> {
    await this.#order("removeSnapshot", { id });
  }

  /** A patch that builds on nothing. */
  export(id: string): Promise<Uint8Array> {
    return this.#order("exportSnapshot", { id });
  }

  /** Keeps a patch; returns its id. */
  import(bytes: Uint8Array): Promise<string> {
    return this.#order("importSnapshot", { bytes });
  }
}

/** A guest that stands still already, and shall go on standing still after it was copied. */
export function standingStill(guest: Guest): Guest {
  return {
    machine: guest.machine,
    readPages: (firstPage, into) => guest.readPages(firstPage, into),
    pause: async () => {},
    resume: async () => {},
    saveState: () => guest.saveState(),
    release: () => guest.release(),
  };
}
