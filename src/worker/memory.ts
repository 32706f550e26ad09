import { GuestError } from "../guest/errors.js";
import { MemoryGuest } from "../guest/memory/guest.js";
import { MemoryHost } from "../guest/memory/host.js";
import type { ComingMachine, PresentMachine } from "./machine.js";
import type { MachineSource } from "./messages.js";

/** Starts a machine that is nothing but memory and a workload. Throws `argument`. */
export function startMemory({ name, memoryBytes, pagesPerSecond }: MachineSource & { kind: "memory" }): PresentMachine {
  return presentOf(new MemoryGuest({ name, memoryBytes, pagesPerSecond }));
}

/** Takes one in. */
export function receiveMemory(): ComingMachine {
  const host = new MemoryHost();
  return {
    host,
    present() {
      if (host.content === undefined) throw new GuestError("argument", "No machine has been prepared.");
      return presentOf(new MemoryGuest(host.content));
    },
  };
}

/** It has no console and cannot fail. */
function presentOf(guest: MemoryGuest): PresentMachine {
  return { guest, failed: new Promise(() => {}), instructions: () => undefined, type: () => {} };
}
