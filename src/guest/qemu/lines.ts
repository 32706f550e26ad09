const NEWLINE = 0x0a;

/** Cuts a stream of bytes into lines, and holds no more than the beginning of one. */
export class LineCutter {
  readonly #maxLineBytes: number;
  #pieces: Uint8Array[] = [];
  #heldBytes = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** The lines that end in these bytes, without their newlines. Throws a RangeError where one is longer than allowed. */
  *push(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
    for (let start = 0; start < bytes.length; ) {
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline < 0 ? bytes.length : newline;
      this.#heldBytes += end - start;
      if (this.#heldBytes > this.#maxLineBytes)
        throw new RangeError(`A line of more than ${this.#maxLineBytes} bytes.`);
      this.#pieces.push(bytes.subarray(start, end));
      if (newline >= 0) yield this.#take();
      start = end + 1;
    }
  }

  #take(): Uint8Array {
    const line = this.#pieces.length === 1 ? (this.#pieces[0] as Uint8Array) : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#heldBytes = 0;
    return line;
  }
}
