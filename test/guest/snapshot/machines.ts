import { MemoryGuest } from "../../../src/guest/memory/guest.js";
import type { MemoryHost } from "../../../src/guest/memory/host.js";
import type { MemoryMachine } from "../../../src/guest/memory/machine.js";

export const MEMORY_BYTES: number = 2 << 20;
export const PAGE_BYTES = 4096;

/** A machine whose clock stands still: the test does its steps. It is running all the same as far as its guest tells. */
export function startMachine(memoryBytes = MEMORY_BYTES, name = "machine"): MemoryGuest {
  return new MemoryGuest({ name, memoryBytes, pagesPerSecond: 0 });
}

/** The machine that a host got. */
export function machineOf(host: MemoryHost): MemoryMachine {
  if (host.content === undefined) throw new Error("There is no machine.");
  return host.content;
}
