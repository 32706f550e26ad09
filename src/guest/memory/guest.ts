import { bitmapBytes } from "../../kernel/arena.js";
import { setBit } from "../../kernel/bitmap.js";
import type { Guest, InPlaceMemory, Machine } from "../guest.js";
import { MemoryMachine, type MemoryMachineOptions } from "./machine.js";
import { encodeState } from "./state.js";

const WASM_PAGE_BYTES = 65536;

/** A guest that is nothing but memory and a workload on it: for tests, experiments and measurements. */
export class MemoryGuest implements Guest {
  readonly machine: Machine;
  readonly inPlace: InPlaceMemory;
  /** The memory and what happens to it. */
  readonly content: MemoryMachine;
  #scratch: { readonly byteOffset: number; readonly byteLength: number } | undefined;

  /** A machine filled and running, as the options say, or one that is there, as it is. Throws `argument`. */
  constructor(options: Partial<MemoryMachineOptions> | MemoryMachine = {}) {
    this.content = options instanceof MemoryMachine ? options : startMachine(options);
    const { pageBytes } = this.content.options;
    this.machine = this.content.describe();
    this.inPlace = {
      memory: this.content.memory,
      scratch: (byteLength) => this.#scratchOf(byteLength),
      view: (firstPage, pageCount) =>
        this.content.bytes.subarray(firstPage * pageBytes, (firstPage + pageCount) * pageBytes),
    };
  }

  readPages(firstPage: number, into: Uint8Array): void {
    const at = firstPage * this.machine.pageBytes;
    into.set(this.content.bytes.subarray(at, at + into.length));
  }

  async pause(): Promise<void> {
    this.content.stop();
  }

  async resume(): Promise<void> {
    this.content.run();
  }

  async saveState(): Promise<Uint8Array> {
    return encodeState(this.content.steps);
  }

  async release(): Promise<void> {
    this.content.stop();
  }

  async throttle(fraction: number): Promise<void> {
    this.content.setSpeed(1 - fraction);
  }

  #scratchOf(byteLength: number): { readonly byteOffset: number; readonly byteLength: number } {
    if (this.#scratch === undefined || this.#scratch.byteLength < byteLength) {
      const byteOffset = this.content.memory.grow(Math.ceil(byteLength / WASM_PAGE_BYTES)) * WASM_PAGE_BYTES;
      this.#scratch = { byteOffset, byteLength };
    }
    return this.#scratch;
  }
}

function startMachine(options: Partial<MemoryMachineOptions>): MemoryMachine {
  const memoryBytes = options.memoryBytes ?? 64 << 20;
  const pageBytes = options.pageBytes ?? 4096;
  const machine = new MemoryMachine({
    name: "memory",
    memoryBytes,
    pageBytes,
    seed: 1,
    filledBytes: memoryBytes / 2,
    workingSetPages: memoryBytes / pageBytes / 8,
    pagesPerSecond: 1000,
    bytesPerPage: 64,
    pattern: "random",
    ...options,
  });
  machine.fill();
  machine.run();
  return machine;
}

/** A {@link MemoryGuest} as a hypervisor with a write log would offer it: read by copies, and with the pages that were written. */
export class LoggingMemoryGuest implements Guest {
  readonly machine: Machine;
  readonly content: MemoryMachine;
  readonly #guest: MemoryGuest;
  readonly #log: Uint8Array;

  constructor(options: Partial<MemoryMachineOptions> = {}) {
    this.#guest = new MemoryGuest(options);
    this.machine = this.#guest.machine;
    this.content = this.#guest.content;
    const { memoryBytes, pageBytes } = this.content.options;
    this.#log = new Uint8Array(bitmapBytes(memoryBytes / pageBytes)).fill(0xff);
    this.content.onWrite = (page) => {
      setBit(this.#log, page);
    };
  }

  readPages(firstPage: number, into: Uint8Array): void {
    this.#guest.readPages(firstPage, into);
  }

  takeDirtyPages(bitmap: Uint8Array): void {
    bitmap.set(this.#log);
    this.#log.fill(0);
  }

  pause(): Promise<void> {
    return this.#guest.pause();
  }

  resume(): Promise<void> {
    return this.#guest.resume();
  }

  saveState(): Promise<Uint8Array> {
    return this.#guest.saveState();
  }

  release(): Promise<void> {
    return this.#guest.release();
  }
}
