import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GuestError } from "../../errors.js";
import { toImageError } from "../image.js";

/** Decoded pages are the guest's secrets: only their owner may read them. */
const OWNER_ONLY = 0o600;

/** A file without a name, in which decoded pages stand where they stand in the image; what nobody wrote takes no room. All threads may use it. */
export class SpillFile {
  readonly descriptor: number;

  /** The one that another thread has made. */
  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  /** In the folder for temporary files. Throws `image`. */
  static create(): SpillFile {
    const path = join(tmpdir(), `pageferry-${crypto.randomUUID()}`);
    try {
      const descriptor = openSync(path, "wx+", OWNER_ONLY);
      unlinkSync(path);
      return new SpillFile(descriptor);
    } catch (error) {
      throw toImageError(error, `No temporary file can be made in ${tmpdir()}`);
    }
  }

  /** Throws `image`. */
  write(position: number, bytes: Uint8Array): void {
    try {
      for (let written = 0; written < bytes.length; ) {
        written += writeSync(this.descriptor, bytes, written, bytes.length - written, position + written);
      }
    } catch (error) {
      throw toImageError(error, `Decoded pages cannot be kept in ${tmpdir()}`);
    }
  }

  /** Reads what has been written. Throws `image`. */
  read(position: number, into: Uint8Array): void {
    for (let filled = 0; filled < into.length; ) {
      const count = readSync(this.descriptor, into, filled, into.length - filled, position + filled);
      if (count === 0) throw new GuestError("image", "A decoded page is not where it was written to.");
      filled += count;
    }
  }

  close(): void {
    closeSync(this.descriptor);
  }
}
