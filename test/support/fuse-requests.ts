import { concat, fromHex } from "./bytes.js";

/** Requests as Linux 6.18 makes them: the number of each, and its body. */
const REQUESTS = {
  INIT: [26, `07000000 2d000000 00000200 fbffffff 00000000 ${"00".repeat(44)}`],
  GETATTR: [3, "00000000 00000000 0000000000000000"],
  SETATTR: [4, `48020000 00000000 0100000000000000 0000001000000000 ${"00".repeat(64)}`],
  "SETATTR of the time": [4, `a0000000 00000000 0000000000000000 0000000000000000 ${"00".repeat(64)}`],
  OPEN: [14, "02800000 00000000"],
  READ: [15, "0000000000000000 0060452301000000 00000100 00000000 0000000000000000 00000000 00000000"],
  WRITE: [16, `0000000000000000 0000000000000000 04000000 00000000 ${"00".repeat(16)} 61626364`],
  STATFS: [17, ""],
  RELEASE: [18, "0000000000000000 02800000 00000000 0000000000000000"],
  FSYNC: [20, "0000000000000000 00000000 00000000"],
  FLUSH: [25, "0000000000000000 00000000 00000000 0000000000000000"],
  ACCESS: [34, "04000000 00000000"],
  DESTROY: [38, ""],
  INTERRUPT: [36, "8877665544332211"],
  IOCTL: [39, "00".repeat(32)],
  FORGET: [2, "0100000000000000"],
  BATCH_FORGET: [42, "01000000 00000000 0100000000000000 0100000000000000"],
} as const;

export type RequestName = keyof typeof REQUESTS;
export const REQUEST_NAMES: readonly RequestName[] = Object.keys(REQUESTS) as RequestName[];

/** One of them; by default with a name of its own that has eight different bytes. */
export function request(name: RequestName, unique = 0x1122334455667788n): Uint8Array {
  const [opcode, body] = REQUESTS[name];
  const header = new Uint8Array(40);
  const all = concat([header, fromHex(body)]);
  const view = new DataView(all.buffer);
  view.setUint32(0, all.length, true);
  view.setUint32(4, opcode, true);
  view.setBigUint64(8, unique, true);
  view.setBigUint64(16, 1n, true);
  return all;
}

/** A READ of that place. */
export function readRequest(unique: bigint, offset: number, byteLength: number): Uint8Array {
  const bytes = request("READ", unique);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(48, BigInt(offset), true);
  view.setUint32(56, byteLength, true);
  return bytes;
}
