import { GuestError } from "../errors.js";
import { WINDOW_BYTES } from "../file/source.js";
import type { Guest } from "../guest.js";
import { encodeImageHeader, layoutOf } from "./machine-image.js";
import { MemoryImage } from "./memory-image.js";

/** A machine as it stood. */
export interface CapturedMachine {
  readonly image: MemoryImage;
  /** How long the machine stood still. */
  readonly pausedMs: number;
}

/**
 * Pauses a machine, copies its memory and state, and lets it go on at once. Throws `snapshot-too-large` before it is paused where its memory has
 * more than `maxBytes` bytes, or after where memory and state have; and what the guest throws. The machine goes on whatever fails.
 */
export async function captureMachine(guest: Guest, maxBytes: number): Promise<CapturedMachine> {
  const { machine } = guest;
  const { statePosition } = layoutOf(machine, 0);
  checkImageBytes(statePosition, maxBytes);
  // The memory is taken and written to once before the machine is paused: the operating system would provide it page by page meanwhile.
  const memory = new Uint8Array(statePosition).fill(1).fill(0);
  const start = performance.now();
  let state: Uint8Array;
  try {
    await guest.pause();
    readMemory(guest, memory);
    state = await guest.saveState();
  } finally {
    await guest.resume();
  }
  const pausedMs = performance.now() - start;
  const layout = layoutOf(machine, state.length);
  checkImageBytes(layout.imageBytes, maxBytes);
  memory.set(encodeImageHeader(layout));
  const bytes = new Uint8Array(layout.imageBytes);
  bytes.set(memory);
  bytes.set(state, statePosition);
  return { image: new MemoryImage("the machine", bytes), pausedMs };
}

/** Throws `snapshot-too-large`. */
export function checkImageBytes(imageBytes: number, maxBytes: number): void {
  if (imageBytes <= maxBytes) return;
  throw new GuestError(
    "snapshot-too-large",
    `The machine has ${imageBytes} bytes; snapshots are taken and restored up to ${maxBytes}.`,
  );
}

function readMemory(guest: Guest, memory: Uint8Array): void {
  const { machine } = guest;
  const { regionPositions, statePosition } = layoutOf(machine, 0);
  let firstPage = 0;
  for (const [index, start] of regionPositions.entries()) {
    const end = regionPositions[index + 1] ?? statePosition;
    for (let at = start; at < end; at += WINDOW_BYTES) {
      const into = memory.subarray(at, Math.min(end, at + WINDOW_BYTES));
      guest.readPages(firstPage, into);
      firstPage += into.length / machine.pageBytes;
    }
  }
}
