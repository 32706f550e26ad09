/** What went wrong with pages, stable across versions; a program may branch on it. */
export type PageErrorCode = "argument" | "batch-malformed" | "zstd-malformed" | "zstd-missing";

/** Every error that encoding and decoding pages throws. */
export class PageError extends Error {
  readonly code: PageErrorCode;

  constructor(code: PageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PageError";
    this.code = code;
  }
}
