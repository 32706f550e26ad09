import type { PatchInput, PatchOutput } from "../file/patch.js";

/** A patch that is written into memory. */
export class PatchBuffer implements PatchOutput {
  #bytes: Uint8Array = new Uint8Array(1 << 20);
  #end = 0;

  write(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, position);
    this.#end = Math.max(this.#end, end);
  }

  /** What has been written: a view. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#end);
  }
}

/** A patch in memory, to be read. */
export function patchInput(bytes: Uint8Array, byteLength: number = bytes.length): PatchInput {
  return {
    byteLength,
    read(position, into) {
      const part = bytes.subarray(position, position + into.length);
      into.set(part);
      return part.length;
    },
  };
}
