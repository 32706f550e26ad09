import { checkPageBytes } from "../../kernel/check.js";
import type { PageStore } from "../../page/decoder.js";
import { nextTurn } from "../turn.js";
import { OutputFile } from "./output.js";
import { type ImageSource, WINDOW_BYTES } from "./source.js";

/** An image that is being written, in pages. Zero pages stay holes as long as they hold nothing else. */
export class SparseImage implements PageStore {
  readonly byteLength: number;
  readonly pageBytes: number;
  readonly #output: OutputFile;
  readonly #zeros: Uint8Array;
  readonly #present = new Uint8Array(WINDOW_BYTES);
  /** The windows that have been written to; the others are holes, and reading those of a new file is slow. */
  readonly #written = new Set<number>();

  /** An image of zeros that comes to be at `path` when it is committed. Throws `image`. */
  constructor(path: string, byteLength: number, pageBytes: number, overwrite: boolean) {
    checkPageBytes(pageBytes);
    this.byteLength = byteLength;
    this.pageBytes = pageBytes;
    this.#zeros = new Uint8Array(pageBytes);
    this.#output = new OutputFile(path, overwrite);
    try {
      this.#output.truncate(byteLength);
    } catch (error) {
      this.#output.discard();
      throw error;
    }
  }

  /** Copies what fits of another image; `check` is called now and then, and may throw. */
  async copyFrom(image: ImageSource, check: () => void): Promise<void> {
    const end = Math.min(image.byteLength, this.byteLength);
    const window = new Uint8Array(WINDOW_BYTES);
    for (let position = 0; position < end; position += WINDOW_BYTES) {
      const byteLength = Math.min(WINDOW_BYTES, Math.ceil((end - position) / this.pageBytes) * this.pageBytes);
      const pages = window.subarray(0, byteLength);
      image.read(position, pages);
      this.writePages(position / this.pageBytes, pages);
      await nextTurn();
      check();
    }
    image.checkUnchanged();
  }

  readPages(firstPage: number, into: Uint8Array): void {
    this.#read(firstPage * this.pageBytes, into);
  }

  writePages(firstPage: number, from: Uint8Array): void {
    const { pageBytes } = this;
    for (let start = 0, end = 0; start < from.length; start = end) {
      const isZero = this.#isZero(from, start);
      for (end = start + pageBytes; end < from.length && this.#isZero(from, end) === isZero; ) end += pageBytes;
      const position = firstPage * pageBytes + start;
      if (isZero) this.#clear(position, end - start);
      else this.#write(position, from.subarray(start, end));
    }
  }

  /** Throws `image`. */
  commit(): void {
    this.#output.commit();
  }

  discard(): void {
    this.#output.discard();
  }

  /** Writes zeros only where there is something else: elsewhere they would fill a hole. */
  #clear(position: number, byteLength: number): void {
    for (let done = 0; done < byteLength; done += WINDOW_BYTES) {
      const present = this.#present.subarray(0, Math.min(WINDOW_BYTES, byteLength - done));
      this.#read(position + done, present);
      for (let at = 0; at < present.length; at += this.pageBytes) {
        if (!this.#isZero(present, at)) this.#write(position + done + at, this.#zeros);
      }
    }
  }

  #read(position: number, into: Uint8Array): void {
    for (let at = 0, next = 0; at < into.length; at = next) {
      const window = Math.floor((position + at) / WINDOW_BYTES);
      next = Math.min(into.length, (window + 1) * WINDOW_BYTES - position);
      const part = into.subarray(at, next);
      if (this.#written.has(window)) this.#output.read(position + at, part);
      else part.fill(0);
    }
  }

  /** The image's last page may be a part of one: nothing is written behind the end, and zeros are read there. */
  #write(position: number, bytes: Uint8Array): void {
    const last = Math.floor((position + bytes.length - 1) / WINDOW_BYTES);
    for (let window = Math.floor(position / WINDOW_BYTES); window <= last; window++) this.#written.add(window);
    this.#output.write(position, bytes.subarray(0, Math.max(0, this.byteLength - position)));
  }

  #isZero(pages: Uint8Array, at: number): boolean {
    return Buffer.compare(pages.subarray(at, at + this.pageBytes), this.#zeros) === 0;
  }
}
