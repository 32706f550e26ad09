import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { GuestError } from "../errors.js";
import type { ImageSource } from "./source.js";

/** A memory image in a file, sparse or not. It must not change while it is read. */
export class ImageFile implements ImageSource {
  readonly path: string;
  readonly byteLength: number;
  /** The same for every opening of a file, as long as it has not changed. */
  readonly identity: string;
  readonly #file: number;
  readonly #modifiedNs: bigint;

  private constructor(path: string, file: number) {
    const { dev, ino, size, mtimeNs } = fstatSync(file, { bigint: true });
    this.path = path;
    this.byteLength = Number(size);
    this.identity = [dev, ino, size, mtimeNs].join(" ");
    this.#file = file;
    this.#modifiedNs = mtimeNs;
  }

  /** Opens a regular file. Throws `image`. */
  static open(path: string): ImageFile {
    let file: number;
    try {
      // Asked before opening: to open a pipe is to wait for somebody at its other end.
      if (!statSync(path).isFile()) throw new GuestError("image", `${path} is not a regular file.`);
      file = openSync(path, "r");
    } catch (error) {
      throw toImageError(error, `${path} cannot be read`);
    }
    return new ImageFile(path, file);
  }

  get name(): string {
    return this.path;
  }

  read(position: number, into: Uint8Array): void {
    const available = Math.max(0, Math.min(into.length, this.byteLength - position));
    for (let filled = 0; filled < available; ) {
      const count = this.#read(into, filled, available - filled, position + filled);
      if (count === 0) throw this.#changed();
      filled += count;
    }
    into.fill(0, available);
  }

  /** Tells by the file's size and the time of its last change. */
  checkUnchanged(): void {
    const { size, mtimeNs } = fstatSync(this.#file, { bigint: true });
    if (Number(size) !== this.byteLength || mtimeNs !== this.#modifiedNs) throw this.#changed();
  }

  close(): void {
    closeSync(this.#file);
  }

  #read(into: Uint8Array, offset: number, length: number, position: number): number {
    try {
      return readSync(this.#file, into, offset, length, position);
    } catch (error) {
      throw toImageError(error, `${this.path} cannot be read`);
    }
  }

  #changed(): GuestError {
    return new GuestError(
      "image",
      `${this.path} changed while it was read; stop what writes to it, or copy it first, and start again.`,
    );
  }
}

/** An error of the file system as a {@link GuestError}; other errors stay what they are. */
export function toImageError(error: unknown, what: string): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  return new GuestError("image", `${what}: ${reasonOf(error)}.`, { cause: error });
}

/** `ENOENT: no such file or directory, open '…'` without the code, the call and the path. */
function reasonOf({ message }: Error): string {
  return /^[A-Z0-9]+: (.*?), \w+/.exec(message)?.[1] ?? message;
}
