import type { PageStore } from "../../src/page/decoder.js";

/** Pages in plain memory. A call that leaves them is an error that no test expects. */
export class TestStore implements PageStore {
  readonly bytes: Uint8Array;
  /** How many pages were read and written. */
  readonly calls: { read: number; written: number } = { read: 0, written: 0 };
  readonly #pageBytes: number;

  constructor(pageCount: number, pageBytes: number) {
    this.bytes = new Uint8Array(pageCount * pageBytes);
    this.#pageBytes = pageBytes;
  }

  readPages(firstPage: number, into: Uint8Array): void {
    into.set(this.#pages(firstPage, into.length));
    this.calls.read += into.length / this.#pageBytes;
  }

  writePages(firstPage: number, from: Uint8Array): void {
    this.#pages(firstPage, from.length).set(from);
    this.calls.written += from.length / this.#pageBytes;
  }

  #pages(firstPage: number, byteLength: number): Uint8Array {
    const start = firstPage * this.#pageBytes;
    if (!Number.isInteger(firstPage) || byteLength === 0 || byteLength % this.#pageBytes !== 0 || start < 0) {
      throw new Error(`The store was asked for ${byteLength} bytes at page ${firstPage}`);
    }
    if (start + byteLength > this.bytes.length) throw new Error(`Page ${firstPage} or one behind leaves the store`);
    return this.bytes.subarray(start, start + byteLength);
  }
}

/** A store for a decoder that has a cache: it refuses to be read. */
export class WriteOnlyStore extends TestStore {
  override readPages(firstPage: number): void {
    throw new Error(`Page ${firstPage} was read from a store that is only written to`);
  }
}
