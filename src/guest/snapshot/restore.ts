import { GuestError } from "../errors.js";
import { type ImageSource, WINDOW_BYTES } from "../file/source.js";
import type { Host, Machine } from "../guest.js";
import { nextTurn } from "../turn.js";
import { type MachineImageLayout, readImageLayout } from "./machine-image.js";

/**
 * Starts the machine of an image in a host. Throws `snapshot-malformed` before the host is asked for anything, and what the host throws, such as
 * `machine-unfit` where it takes other machines; the host is then discarded.
 */
export async function restoreMachine(image: ImageSource, host: Host): Promise<Machine> {
  const layout = readImageLayout(image);
  try {
    await host.prepare(layout.machine);
    await writeMemory(layout, image, host);
    const state = new Uint8Array(layout.stateBytes);
    image.read(layout.statePosition, state);
    await host.loadState(state);
    await host.start();
    return layout.machine;
  } catch (cause) {
    await host.discard();
    if (cause instanceof GuestError) throw cause;
    throw new GuestError("guest-failed", "The machine of the snapshot cannot be started here.", { cause });
  }
}

async function writeMemory(layout: MachineImageLayout, image: ImageSource, host: Host): Promise<void> {
  const { machine, regionPositions, statePosition } = layout;
  const window = new Uint8Array(WINDOW_BYTES);
  let firstPage = 0;
  for (const [index, start] of regionPositions.entries()) {
    const end = regionPositions[index + 1] ?? statePosition;
    for (let at = start; at < end; at += WINDOW_BYTES) {
      const pages = window.subarray(0, Math.min(WINDOW_BYTES, end - at));
      image.read(at, pages);
      host.writePages(firstPage, pages);
      firstPage += pages.length / machine.pageBytes;
      await nextTurn();
    }
  }
}
