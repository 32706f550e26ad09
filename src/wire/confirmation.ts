import { WireError } from "./errors.js";

/** The body of a `received` frame: how many bytes have been taken in since the start of the session, as a number of 64 bits. */
export const CONFIRMATION_BYTES = 8;

export function encodeConfirmation(bytes: number): Uint8Array {
  const body = new Uint8Array(CONFIRMATION_BYTES);
  new DataView(body.buffer).setBigUint64(0, BigInt(bytes), true);
  return body;
}

/** Throws `message-malformed`. */
export function decodeConfirmation(body: Uint8Array): number {
  if (body.length !== CONFIRMATION_BYTES) {
    throw new WireError("message-malformed", `A confirmation does not have ${CONFIRMATION_BYTES} bytes.`);
  }
  return Number(new DataView(body.buffer, body.byteOffset, body.byteLength).getBigUint64(0, true));
}
