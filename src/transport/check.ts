import { TransportError } from "./errors.js";

/** How long to wait for the other side where nobody says. */
export const DEFAULT_TIMEOUT_MS = 10_000;
/** The most that a timer takes. */
export const MAX_TIMEOUT_MS: number = 2 ** 31 - 1;

/** Throws unless `value` is a finite number from `minimum` to `maximum`. */
export function checkNumber(name: string, value: number, minimum: number, maximum: number): void {
  if (typeof value !== "number" || !(value >= minimum && value <= maximum)) {
    throw new TransportError("argument", `${name} must be a number from ${minimum} to ${maximum}, not ${value}.`);
  }
}

/** Throws unless these can be an address; 0 is a port to listen at only. */
export function checkAddress(host: string, port: number, minimumPort: 0 | 1): void {
  if (typeof host !== "string" || host === "") {
    throw new TransportError("argument", "host must be the name or the address of a host.");
  }
  if (!Number.isInteger(port)) throw new TransportError("argument", `port must be a whole number, not ${port}.`);
  checkNumber("port", port, minimumPort, 65535);
}

/** Throws unless `bytes` is a Uint8Array. */
export function checkBytes(bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array)) throw new TransportError("argument", "Only a Uint8Array can be sent.");
}

/**
 * The bytes as they are now, in memory of their own. (Not `slice`: Node's Buffer gives a view there. Nor is the copy ever of shared memory.)
 */
export function snapshot(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

/** What `send` answers after `close`. */
export function closedError(): TransportError {
  return new TransportError("closed", "This side has closed the connection and can send no more.");
}

/** What everything answers once the connection is lost. */
export function lostError(cause?: unknown): TransportError {
  return new TransportError("connection-lost", "The connection to the other side is lost.", { cause });
}
