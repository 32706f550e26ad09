/** Why a migration did not come about, stable across versions; a program may branch on it. */
export type MigrationErrorCode =
  | "argument"
  | "cancelled"
  | "connection-lost"
  | "content-differs"
  | "guest-failed"
  | "host-failed"
  | "in-doubt"
  | "machine-lost"
  | "memory-limit"
  | "no-common-version"
  | "no-lazy-memory"
  | "not-converging"
  | "peer-failed"
  | "protocol"
  | "refused"
  | "timeout";

/** Every error of a migration. */
export class MigrationError extends Error {
  readonly code: MigrationErrorCode;

  constructor(code: MigrationErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MigrationError";
    this.code = code;
  }
}
