import { basename } from "node:path";
import { checkPageBytes } from "../../kernel/check.js";
import type { Guest, Machine } from "../guest.js";
import { ImageFile } from "./image.js";

/** Options of a {@link FileGuest}. */
export interface FileGuestOptions {
  /** Default: the file's name. */
  readonly name: string;
  /** Default 4096. */
  readonly pageBytes: number;
}

/** A memory image as a guest that stands still. Where the file changes nevertheless, its methods throw `image`. */
export class FileGuest implements Guest {
  readonly machine: Machine;
  readonly #image: ImageFile;
  #isVisited = false;
  #isReleased = false;

  /** Opens the image at `path`, a regular file of any length. Throws `image`, `argument`. */
  constructor(path: string, { name = basename(path), pageBytes = 4096 }: Partial<FileGuestOptions> = {}) {
    checkPageBytes(pageBytes);
    this.#image = ImageFile.open(path);
    const regions = [{ name: "image", byteLength: this.#image.byteLength }];
    this.machine = { name, kind: "file", pageBytes, regions, configuration: {} };
  }

  readPages(firstPage: number, into: Uint8Array): void {
    this.#image.read(firstPage * this.machine.pageBytes, into);
    this.#image.checkUnchanged();
  }

  /** All pages at first, none afterwards. */
  takeDirtyPages(bitmap: Uint8Array): void {
    bitmap.fill(this.#isVisited ? 0 : 0xff);
    this.#isVisited = true;
  }

  async pause(): Promise<void> {
    this.#image.checkUnchanged();
  }

  async resume(): Promise<void> {}

  async saveState(): Promise<Uint8Array> {
    this.#image.checkUnchanged();
    return new Uint8Array(0);
  }

  /** Closes the file; after a migration that failed it is the caller's to do. */
  async release(): Promise<void> {
    if (!this.#isReleased) this.#image.close();
    this.#isReleased = true;
  }
}
