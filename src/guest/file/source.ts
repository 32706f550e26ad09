/** Memory images are read in windows of so many bytes; others get their turn between two of them. */
export const WINDOW_BYTES: number = 1 << 20;
/** A leaf: the part of an image that is hashed by itself. */
export const LEAF_BYTES: number = 64 << 10;

/** A memory image that is being read, wherever it is: a guest's RAM as it is, byte for byte. */
export interface ImageSource {
  /** What it is called in errors. */
  readonly name: string;
  readonly byteLength: number;
  /** Reads from byte `position` on; what lies behind the end is zeros. Throws `image`. */
  read(position: number, into: Uint8Array): void;
  /** Throws `image` where the image has changed since it was opened. */
  checkUnchanged(): void;
}
