/** What a peer sent that the protocol does not allow, stable across versions; a program may branch on it. */
export type WireErrorCode =
  | "batch-malformed"
  | "checksum"
  | "frame-too-large"
  | "frame-unknown"
  | "message-malformed"
  | "unexpected-end";

/** Every error in what came over the wire. */
export class WireError extends Error {
  readonly code: WireErrorCode;

  constructor(code: WireErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "WireError";
    this.code = code;
  }
}
