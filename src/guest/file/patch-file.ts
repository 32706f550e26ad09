import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { toImageError } from "./image.js";
import type { PatchInput } from "./patch.js";

/** A patch in a file, to be read. Every method throws `image`. */
export class PatchFile implements PatchInput {
  readonly #path: string;
  readonly #file: number;

  constructor(path: string) {
    this.#path = path;
    try {
      this.#file = openSync(path, "r");
    } catch (error) {
      throw toImageError(error, `${path} cannot be read`);
    }
  }

  get byteLength(): number {
    return fstatSync(this.#file).size;
  }

  read(position: number, into: Uint8Array): number {
    try {
      return readSync(this.#file, into, 0, into.length, position);
    } catch (error) {
      throw toImageError(error, `${this.#path} cannot be read`);
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}
