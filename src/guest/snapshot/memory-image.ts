import type { PageStore } from "../../page/decoder.js";
import type { ImageSource } from "../file/source.js";

/** An image in memory. */
export class MemoryImage implements ImageSource, PageStore {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly #pageBytes: number;

  /** The image is the bytes, not a copy of them. `pageBytes` is the size of the pages that are read and written. */
  constructor(name: string, bytes: Uint8Array, pageBytes = 4096) {
    this.name = name;
    this.bytes = bytes;
    this.#pageBytes = pageBytes;
  }

  get byteLength(): number {
    return this.bytes.length;
  }

  read(position: number, into: Uint8Array): void {
    const part = this.bytes.subarray(position, position + into.length);
    into.set(part);
    into.fill(0, part.length);
  }

  /** It is nobody else's. */
  checkUnchanged(): void {}

  readPages(firstPage: number, into: Uint8Array): void {
    this.read(firstPage * this.#pageBytes, into);
  }

  /** The last page may be a part of one: what lies behind the end is dropped. */
  writePages(firstPage: number, from: Uint8Array): void {
    const position = firstPage * this.#pageBytes;
    this.bytes.set(from.subarray(0, Math.max(0, this.byteLength - position)), position);
  }
}
