import { WireError } from "./errors.js";

/** The body of a `received` frame: three numbers of 64 bits. All count from the start of the session. */
export interface Confirmation {
  /** Bytes of the batches that are in the memory. */
  readonly bytes: number;
  /** Bytes that came while the destination was waiting for the rest of a frame, … */
  readonly streamedBytes: number;
  /** … and how long it waited for them, in µs: together the link's rate, whatever else the two ends had to do. */
  readonly streamedMicroseconds: number;
}

export const CONFIRMATION_BYTES = 24;

export function encodeConfirmation({ bytes, streamedBytes, streamedMicroseconds }: Confirmation): Uint8Array {
  const numbers = [bytes, streamedBytes, streamedMicroseconds];
  const body = new Uint8Array(CONFIRMATION_BYTES);
  const view = new DataView(body.buffer);
  numbers.forEach((number, index) => {
    view.setBigUint64(index * 8, BigInt(Math.round(number)), true);
  });
  return body;
}

/** Throws `message-malformed`. */
export function decodeConfirmation(body: Uint8Array): Confirmation {
  if (body.length !== CONFIRMATION_BYTES) {
    throw new WireError("message-malformed", `A confirmation does not have ${CONFIRMATION_BYTES} bytes.`);
  }
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const number = (index: number): number => Number(view.getBigUint64(index * 8, true));
  return { bytes: number(0), streamedBytes: number(1), streamedMicroseconds: number(2) };
}
