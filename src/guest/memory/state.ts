import { GuestError } from "../errors.js";

/** The state of a memory machine: how many steps of its workload are done, as one little-endian number of 64 bits. */
export function encodeState(steps: number): Uint8Array {
  const state = new Uint8Array(8);
  new DataView(state.buffer).setBigUint64(0, BigInt(steps), true);
  return state;
}

/** The steps in a state. Throws `state-malformed`. */
export function decodeState(state: Uint8Array): number {
  if (state.length !== 8) throw new GuestError("state-malformed", "The state of a memory machine has 8 bytes.");
  return Number(new DataView(state.buffer, state.byteOffset).getBigUint64(0, true));
}
