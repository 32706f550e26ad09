import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { GuestError } from "../errors.js";
import { toImageError } from "./image.js";

/** Memory holds passwords and keys: what is made of it is for its owner's eyes. */
const OWNER_ONLY = 0o600;

/**
 * A file that comes to be under its name whole or not at all: it is written under another name beside it, and takes its own once everything is
 * on the disk.
 */
export class OutputFile {
  readonly path: string;
  readonly #file: number;
  readonly #temporaryPath: string;
  readonly #overwrite: boolean;
  #isOpen = true;

  /** Throws `image`, also where the path is taken, unless it is a regular file and shall be overwritten. */
  constructor(path: string, overwrite: boolean) {
    const random = Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString("hex");
    this.path = path;
    this.#overwrite = overwrite;
    this.#temporaryPath = join(dirname(path), `.${basename(path)}.pageferry-${random}`);
    try {
      const existing = lstatSync(path, { throwIfNoEntry: false });
      if (existing !== undefined && !overwrite) throw this.#exists();
      if (existing?.isFile() === false) throw new GuestError("image", `${path} is not a regular file.`);
      this.#file = openSync(this.#temporaryPath, "wx+", OWNER_ONLY);
    } catch (error) {
      throw toImageError(error, `${path} cannot be written`);
    }
  }

  /** Sets the length; what is new is a hole. */
  truncate(byteLength: number): void {
    this.#try(() => ftruncateSync(this.#file, byteLength));
  }

  write(position: number, bytes: Uint8Array): void {
    this.#try(() => {
      for (let written = 0; written < bytes.length; ) {
        written += writeSync(this.#file, bytes, written, bytes.length - written, position + written);
      }
    });
  }

  /** Reads back from byte `position` on; what lies behind the end is zeros. */
  read(position: number, into: Uint8Array): void {
    this.#try(() => {
      let filled = 0;
      while (filled < into.length) {
        const count = readSync(this.#file, into, filled, into.length - filled, position + filled);
        if (count === 0) break;
        filled += count;
      }
      into.fill(0, filled);
    });
  }

  /** Waits for the disk and gives the file its name. Throws `image`, and then it is still to be discarded. */
  commit(): void {
    this.#try(() => {
      fsyncSync(this.#file);
      if (this.#overwrite) renameSync(this.#temporaryPath, this.path);
      else this.#linkUnlessTaken();
      this.#close();
      syncFolder(dirname(this.path));
    });
  }

  /** Removes what was written, unless it has been committed. Calling it again changes nothing. */
  discard(): void {
    if (!this.#isOpen) return;
    this.#close();
    rmSync(this.#temporaryPath, { force: true });
  }

  /** Unlike a rename, a link never takes the place of a file that somebody else made meanwhile. */
  #linkUnlessTaken(): void {
    try {
      linkSync(this.#temporaryPath, this.path);
      rmSync(this.#temporaryPath);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST") throw this.#exists();
      // Some file systems have no links.
      if (code !== "EPERM" && code !== "ENOTSUP" && code !== "ENOSYS") throw error;
      if (lstatSync(this.path, { throwIfNoEntry: false }) !== undefined) throw this.#exists();
      renameSync(this.#temporaryPath, this.path);
    }
  }

  #close(): void {
    this.#isOpen = false;
    closeSync(this.#file);
  }

  #exists(): GuestError {
    return new GuestError(
      "image",
      `${this.path} exists already; choose another name, or ask for it to be overwritten.`,
    );
  }

  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      throw toImageError(error, `${this.path} cannot be written`);
    }
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
