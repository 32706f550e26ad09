/** What went wrong in a guest or host, stable across versions; a program may branch on it. */
export type GuestErrorCode =
  | "argument"
  | "image"
  | "lazy-unavailable"
  | "machine-unfit"
  | "missing-program"
  | "patch-base"
  | "patch-malformed"
  | "guest-failed"
  | "snapshot-base"
  | "snapshot-in-use"
  | "snapshot-malformed"
  | "snapshot-missing"
  | "snapshot-too-large"
  | "state-malformed"
  | "storage-failed"
  | "storage-full";

/** Every error that guests and hosts throw. */
export class GuestError extends Error {
  readonly code: GuestErrorCode;

  constructor(code: GuestErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "GuestError";
    this.code = code;
  }
}
