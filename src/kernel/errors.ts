/** What went wrong, stable across versions; a program may branch on it. */
export type KernelErrorCode =
  | "argument"
  | "arena-full"
  | "foreign-span"
  | "module"
  | "overlap"
  | "page-number"
  | "released-span"
  | "simd-missing"
  | "span-too-small"
  | "lz4-malformed"
  | "xbzrle-malformed";

/** Every error that the kernels' host throws. */
export class KernelError extends Error {
  readonly code: KernelErrorCode;

  constructor(code: KernelErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "KernelError";
    this.code = code;
  }
}
