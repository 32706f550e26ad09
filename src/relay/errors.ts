/** Why a relayed stream or a session of relays ended, stable across versions; a program may branch on it. */
export type RelayErrorCode =
  | "argument"
  | "cancelled"
  | "connection-lost"
  | "digest-differs"
  | "no-common-version"
  | "peer-failed"
  | "protocol"
  | "qemu-failed"
  | "refused"
  | "stream-malformed"
  | "timeout";

/** Every error of the relay. */
export class RelayError extends Error {
  readonly code: RelayErrorCode;

  constructor(code: RelayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "RelayError";
    this.code = code;
  }
}
