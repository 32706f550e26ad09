import { GuestError } from "../errors.js";
import type { Host, Machine } from "../guest.js";
import { ImageFile } from "./image.js";
import { SparseImage } from "./sparse.js";

/** Options of a {@link FileHost}. */
export interface FileHostOptions {
  /** Where the image shall be. */
  readonly path: string;
  /** An older image of the same machine: only pages that differ from it travel. It may be at `path`. */
  readonly basePath?: string;
  /** Whether a file at `path` may be replaced. Default: no. */
  readonly overwrite?: boolean;
}

/** Takes a memory image into a file, which comes to be at its path, whole, when the machine would start. */
export class FileHost implements Host {
  readonly hasBase: boolean;
  readonly #options: FileHostOptions;
  #image: SparseImage | undefined;
  #isDiscarded = false;

  constructor(options: FileHostOptions) {
    this.#options = options;
    this.hasBase = options.basePath !== undefined;
  }

  /** Throws `machine-unfit` where the machine is no image, and `image`. */
  async prepare({ kind, pageBytes, regions }: Machine): Promise<void> {
    const [region] = regions;
    if (kind !== "file" || regions.length !== 1 || region === undefined) {
      throw new GuestError("machine-unfit", "This host takes memory images only.");
    }
    const { path, basePath, overwrite = false } = this.#options;
    const image = new SparseImage(path, region.byteLength, pageBytes, overwrite);
    this.#image = image;
    if (basePath === undefined) return;
    const base = ImageFile.open(basePath);
    try {
      await image.copyFrom(base, () => this.#check());
    } finally {
      base.close();
    }
  }

  readPages(firstPage: number, into: Uint8Array): void {
    this.#prepared.readPages(firstPage, into);
  }

  writePages(firstPage: number, from: Uint8Array): void {
    this.#prepared.writePages(firstPage, from);
  }

  /** Throws `state-malformed`: an image has no state. */
  async loadState(state: Uint8Array): Promise<void> {
    if (state.length > 0)
      throw new GuestError("state-malformed", "A memory image came with a state, which it has not.");
  }

  /** Waits until the image is on the disk and gives it its name. Throws `image`. */
  async start(): Promise<void> {
    this.#prepared.commit();
  }

  async discard(): Promise<void> {
    this.#isDiscarded = true;
    this.#image?.discard();
  }

  get #prepared(): SparseImage {
    this.#check();
    if (this.#image === undefined) throw new GuestError("argument", "The host has not been prepared.");
    return this.#image;
  }

  #check(): void {
    if (this.#isDiscarded) throw new GuestError("argument", "The image was discarded.");
  }
}
