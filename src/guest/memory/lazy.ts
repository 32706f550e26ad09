import { bitmapBytes } from "../../kernel/arena.js";
import { hasBit, setBits } from "../../kernel/bitmap.js";
import { summarizeFaults } from "../faults.js";
import type { FaultReport, LazyMemory } from "../guest.js";
import type { MemoryMachine } from "./machine.js";

/**
 * Lets a memory machine run before its memory is there: it waits before each page that has not arrived. Of pages that it writes to, the content as it
 * arrived is kept beside, until all are there.
 */
export class LazyMachineMemory implements LazyMemory {
  onFault: (firstPage: number, pageCount: number) => void = () => {};
  readonly #machine: MemoryMachine;
  readonly #present: Uint8Array;
  /** Pages as they arrived, of those that the machine has touched since. */
  readonly #arrived = new Map<number, Uint8Array>();
  /** Since when the machine has waited for its page. */
  #waitsSinceMs: number | undefined;
  readonly #waitsMs: number[] = [];

  constructor(machine: MemoryMachine) {
    const { memoryBytes, pageBytes } = machine.options;
    this.#machine = machine;
    this.#present = new Uint8Array(bitmapBytes(memoryBytes / pageBytes));
    machine.mayTouch = (page) => this.#touch(page);
  }

  /** Copies whole pages as they arrived into `into`. */
  readPages(firstPage: number, into: Uint8Array): void {
    const { pageBytes } = this.#machine.options;
    const at = firstPage * pageBytes;
    into.set(this.#machine.bytes.subarray(at, at + into.length));
    if (this.#arrived.size === 0) return;
    for (let page = 0; page < into.length / pageBytes; page++) {
      const arrived = this.#arrived.get(firstPage + page);
      if (arrived !== undefined) into.set(arrived, page * pageBytes);
    }
  }

  arrived(firstPage: number, pageCount: number): void {
    setBits(this.#present, firstPage, pageCount);
  }

  async faultReport(): Promise<FaultReport> {
    return summarizeFaults(this.#waitsMs);
  }

  async complete(): Promise<void> {
    this.#machine.mayTouch = undefined;
    this.#arrived.clear();
  }

  /** What there is stays where it is, in the machine that stands still: no files. */
  async salvage(): Promise<readonly string[]> {
    this.#machine.stop();
    return [];
  }

  #touch(page: number): boolean {
    if (!hasBit(this.#present, page)) {
      if (this.#waitsSinceMs === undefined) this.onFault(page, 1);
      this.#waitsSinceMs ??= performance.now();
      return false;
    }
    if (this.#waitsSinceMs !== undefined) this.#waitsMs.push(performance.now() - this.#waitsSinceMs);
    this.#waitsSinceMs = undefined;
    if (!this.#arrived.has(page)) {
      const { pageBytes } = this.#machine.options;
      this.#arrived.set(page, this.#machine.bytes.slice(page * pageBytes, (page + 1) * pageBytes));
    }
    return true;
  }
}
