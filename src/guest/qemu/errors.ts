/** What went wrong between this program and a QEMU, stable across versions; a program may branch on it. */
export type QmpErrorCode = "argument" | "connect-failed" | "closed" | "timeout" | "command-failed" | "malformed";

/** What an error can say besides its code. */
export interface QmpErrorOptions extends ErrorOptions {
  readonly qemuClass?: string;
}

/** Every error that a {@link QmpClient} throws. */
export class QmpError extends Error {
  readonly code: QmpErrorCode;
  /** QEMU's own class of the error, such as "GenericError" or "CommandNotFound"; with `command-failed` only. */
  readonly qemuClass: string | undefined;

  constructor(code: QmpErrorCode, message: string, options?: QmpErrorOptions) {
    super(message, options);
    this.name = "QmpError";
    this.code = code;
    this.qemuClass = options?.qemuClass;
  }
}
