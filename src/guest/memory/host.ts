import * as v from "valibot";
import { GuestError } from "../errors.js";
import type { Host, Machine } from "../guest.js";
import { LazyMachineMemory } from "./lazy.js";
import { MemoryMachine } from "./machine.js";
import { decodeState } from "./state.js";

const workload = v.strictObject({
  seed: v.number(),
  filledBytes: v.pipe(v.number(), v.minValue(0)),
  workingSetPages: v.pipe(v.number(), v.integer(), v.minValue(1)),
  pagesPerSecond: v.pipe(v.number(), v.minValue(0), v.maxValue(1e9)),
  bytesPerPage: v.pipe(v.number(), v.integer(), v.minValue(0)),
  pattern: v.picklist(["sequential", "random"]),
});

/** Options of a {@link MemoryHost}. */
export interface MemoryHostOptions {
  /** Whether the machine may run before its memory is there, which takes its size once more. Default: no. */
  readonly isLazy?: boolean;
}

/** Takes the machine of a memory guest. */
export class MemoryHost implements Host {
  readonly #isLazy: boolean;
  #content: MemoryMachine | undefined;
  #lazy: LazyMachineMemory | undefined;

  constructor({ isLazy = false }: MemoryHostOptions = {}) {
    this.#isLazy = isLazy;
  }

  /** The machine; it is there once it has been prepared and until it is discarded. */
  get content(): MemoryMachine | undefined {
    return this.#content;
  }

  get lazy(): LazyMachineMemory | undefined {
    return this.#lazy;
  }

  async prepare(machine: Machine): Promise<void> {
    const { name, kind, pageBytes, regions, configuration } = machine;
    const [region] = regions;
    const result = v.safeParse(workload, configuration);
    if (kind !== "memory" || regions.length !== 1 || region === undefined || !result.success) {
      throw new GuestError("machine-unfit", "This host takes memory guests only.");
    }
    this.#content = new MemoryMachine({ name, pageBytes, memoryBytes: region.byteLength, ...result.output });
    if (this.#isLazy) this.#lazy = new LazyMachineMemory(this.#content);
  }

  readPages(firstPage: number, into: Uint8Array): void {
    const at = firstPage * this.#machine.options.pageBytes;
    into.set(this.#written.subarray(at, at + into.length));
  }

  writePages(firstPage: number, from: Uint8Array): void {
    this.#written.set(from, firstPage * this.#machine.options.pageBytes);
  }

  async loadState(state: Uint8Array): Promise<void> {
    this.#machine.continueFrom(decodeState(state));
  }

  async start(): Promise<void> {
    this.#machine.run();
  }

  async discard(): Promise<void> {
    this.#content?.stop();
    this.#content = undefined;
    this.#lazy = undefined;
  }

  get #written(): Uint8Array {
    return this.#lazy?.copy ?? this.#machine.bytes;
  }

  get #machine(): MemoryMachine {
    if (this.#content === undefined) throw new GuestError("argument", "The host has not been prepared.");
    return this.#content;
  }
}
