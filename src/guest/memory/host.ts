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

/** Takes the machine of a memory guest, which may run before its memory is there. */
export class MemoryHost implements Host {
  #content: MemoryMachine | undefined;
  #lazy: LazyMachineMemory | undefined;

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
    this.#lazy = new LazyMachineMemory(this.#content);
  }

  readPages(firstPage: number, into: Uint8Array): void {
    if (this.#lazy === undefined) throw new GuestError("argument", "The host has not been prepared.");
    this.#lazy.readPages(firstPage, into);
  }

  writePages(firstPage: number, from: Uint8Array): void {
    this.#machine.bytes.set(from, firstPage * this.#machine.options.pageBytes);
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

  get #machine(): MemoryMachine {
    if (this.#content === undefined) throw new GuestError("argument", "The host has not been prepared.");
    return this.#content;
  }
}
