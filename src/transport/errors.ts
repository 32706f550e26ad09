/** What went wrong with a connection, stable across versions; a program may branch on it. */
export type TransportErrorCode =
  | "argument"
  | "closed"
  | "connection-lost"
  | "connect-failed"
  | "not-authenticated"
  | "credentials"
  | "session-unknown"
  | "code-malformed";

/** Every error that connections throw. */
export class TransportError extends Error {
  readonly code: TransportErrorCode;

  constructor(code: TransportErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "TransportError";
    this.code = code;
  }
}
