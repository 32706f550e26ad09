import type { SavedSnapshot, Snapshot, WorkerSnapshots } from "pageferry";
import type { Mover } from "./mover.js";

/** The snapshots of this origin, and which side's worker does what with them. All workers see the same ones. */
export class SnapshotShelf {
  readonly #mover: Mover;

  constructor(mover: Mover) {
    this.#mover = mover;
  }

  async list(): Promise<readonly Snapshot[]> {
    return await (await this.#any()).list();
  }

  /** Saves the machine that is here. */
  async save(): Promise<SavedSnapshot> {
    const side = this.#mover.sides.find(({ hasMachine }) => hasMachine);
    if (side === undefined) throw new Error("There is no machine here to be saved.");
    return await (await side.worker()).snapshots.save();
  }

  /** Brings a machine back into a side that is empty. */
  async restore(id: string): Promise<void> {
    const side = this.#mover.sides.find(({ hasMachine }) => !hasMachine);
    if (side === undefined) throw new Error("Both sides have a machine. Switch one off, and the snapshot has a place.");
    if (side.state !== "empty") await side.discard();
    await (await side.worker()).snapshots.restore(id);
    side.workload = undefined;
  }

  async remove(id: string): Promise<void> {
    await (await this.#any()).remove(id);
  }

  /** The snapshot as a file that stands for itself. */
  async export(id: string): Promise<Uint8Array> {
    return await (await this.#any()).export(id);
  }

  async import(file: Blob): Promise<void> {
    await (await this.#any()).import(new Uint8Array(await file.arrayBuffer()));
  }

  /** Of the side that has a machine: its worker is there for sure. */
  async #any(): Promise<WorkerSnapshots> {
    const side = this.#mover.sides.find(({ hasMachine }) => hasMachine) ?? this.#mover.left;
    return (await side.worker()).snapshots;
  }
}
