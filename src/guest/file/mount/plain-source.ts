import { GuestError } from "../../errors.js";
import type { FuseRead } from "../../fuse/session.js";
import { ImageFile } from "../image.js";
import { isPatch, PATCH_MAGIC } from "../patch-layout.js";
import type { MountSource } from "./source.js";

/** An image by itself: nobody knows its digest, so it is given as it is. */
export class PlainSource implements MountSource {
  readonly byteLength: Promise<number>;
  readonly settled: Promise<void> = Promise.resolve();
  readonly #image: ImageFile;
  readonly #buffer: Uint8Array;

  /** For reads of at most `maxReadBytes` bytes. Throws `image`, `patch-base`. */
  constructor(path: string, maxReadBytes: number) {
    this.#image = ImageFile.open(path);
    const start = new Uint8Array(PATCH_MAGIC.length);
    this.#image.read(0, start);
    if (isPatch(start)) {
      this.#image.close();
      throw new GuestError("patch-base", `${path} is a patch; the image that it was made from goes first.`);
    }
    this.#buffer = new Uint8Array(maxReadBytes);
    this.byteLength = Promise.resolve(this.#image.byteLength);
  }

  read(read: FuseRead): void {
    const bytes = this.#buffer.subarray(0, read.byteLength);
    this.#image.read(read.offset, bytes);
    this.#image.checkUnchanged();
    read.answer(bytes);
  }

  async close(): Promise<void> {
    this.#image.close();
  }
}
