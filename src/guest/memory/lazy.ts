import { bitmapBytes } from "../../kernel/arena.js";
import { hasBit, setBits } from "../../kernel/bitmap.js";
import { summarizeFaults } from "../faults.js";
import type { FaultReport, LazyMemory } from "../guest.js";
import type { MemoryMachine } from "./machine.js";

/**
 * Lets a memory machine run before its memory is there: it waits before each page that has not arrived. What the engine writes lies beside the
 * machine's memory, as a private mapping of a file would have it.
 */
export class LazyMachineMemory implements LazyMemory {
  onFault: (firstPage: number, pageCount: number) => void = () => {};
  /** What has been written, whether it has arrived or not. */
  readonly copy: Uint8Array;
  readonly #machine: MemoryMachine;
  readonly #present: Uint8Array;
  /** Since when the machine has waited for its page. */
  #waiting: { readonly page: number; readonly sinceMs: number } | undefined;
  readonly #waitsMs: number[] = [];

  constructor(machine: MemoryMachine) {
    const { memoryBytes, pageBytes } = machine.options;
    this.#machine = machine;
    this.copy = new Uint8Array(memoryBytes);
    this.#present = new Uint8Array(bitmapBytes(memoryBytes / pageBytes));
    machine.mayTouch = (page) => this.#touch(page);
  }

  arrived(firstPage: number, pageCount: number): void {
    const { pageBytes } = this.#machine.options;
    const memory = this.#machine.bytes;
    for (let page = firstPage; page < firstPage + pageCount; page++) {
      // The machine may have written to a page that had arrived before.
      if (hasBit(this.#present, page)) continue;
      memory.set(this.copy.subarray(page * pageBytes, (page + 1) * pageBytes), page * pageBytes);
    }
    setBits(this.#present, firstPage, pageCount);
  }

  async faultReport(): Promise<FaultReport> {
    return summarizeFaults(this.#waitsMs);
  }

  async complete(): Promise<void> {
    this.#machine.mayTouch = undefined;
  }

  /** What there is stays where it is, in the machine that stands still: no files. */
  async salvage(): Promise<readonly string[]> {
    this.#machine.stop();
    return [];
  }

  #touch(page: number): boolean {
    const isThere = hasBit(this.#present, page);
    if (!isThere && this.#waiting === undefined) {
      this.#waiting = { page, sinceMs: performance.now() };
      this.onFault(page, 1);
    } else if (isThere && this.#waiting !== undefined) {
      this.#waitsMs.push(performance.now() - this.#waiting.sinceMs);
      this.#waiting = undefined;
    }
    return isThere;
  }
}
