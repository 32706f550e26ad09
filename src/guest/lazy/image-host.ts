import { GuestError } from "../errors.js";
import { readPadded, writeUpTo } from "../file/descriptor.js";
import type { FaultReport, Host, LazyMemory, Machine } from "../guest.js";
import { LazyRam } from "./ram.js";

/** Options of a {@link LazyImageHost}. */
export interface LazyImageHostOptions {
  /** Where the image appears; what is there already and is as long is taken for an older version of it. */
  readonly path: string;
  /** What was found and survived, as a sentence. */
  readonly onNotice: (sentence: string) => void;
}

/** Takes a memory image that appears as a file at once, and whose content comes as it is touched. Needs Linux and CAP_SYS_ADMIN. */
export class LazyImageHost implements Host {
  readonly #options: LazyImageHostOptions;
  #memory: ImageMemory | undefined;

  constructor(options: LazyImageHostOptions) {
    this.#options = options;
  }

  get lazy(): LazyMemory | undefined {
    return this.#memory;
  }

  get hasBase(): boolean {
    return this.#memory?.isNew === false;
  }

  get isUntouched(): boolean {
    return this.#memory?.isNew === true;
  }

  /** Throws `machine-unfit` where the machine is no image, `lazy-unavailable`, and `argument` where the file cannot be made. */
  async prepare({ kind, pageBytes, regions }: Machine): Promise<void> {
    const [region] = regions;
    if (kind !== "file" || regions.length !== 1 || region === undefined || region.byteLength === 0) {
      throw new GuestError("machine-unfit", "Only a memory image that is not empty can appear as a file.");
    }
    const { path, onNotice } = this.#options;
    const files = [{ path, byteLength: region.byteLength }];
    this.#memory = new ImageMemory(await LazyRam.mount({ files, pageBytes, onNotice }), pageBytes);
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

  async start(): Promise<void> {}

  /** Takes the file away. */
  async discard(): Promise<void> {
    await this.#memory?.discard();
  }

  get #prepared(): ImageMemory {
    if (this.#memory === undefined) throw new GuestError("argument", "The host has not been prepared.");
    return this.#memory;
  }
}

/** The image's content; it stays mounted when all of it is there. */
class ImageMemory implements LazyMemory {
  readonly isNew: boolean;
  readonly #ram: LazyRam;
  readonly #file: number;
  readonly #byteLength: number;
  readonly #pageBytes: number;

  constructor(ram: LazyRam, pageBytes: number) {
    const [{ path, file, byteLength, isNew }] = ram.files as [LazyRam["files"][number]];
    ram.arrange([{ name: "image", path }]);
    this.isNew = isNew;
    this.#ram = ram;
    this.#file = file;
    this.#byteLength = byteLength;
    this.#pageBytes = pageBytes;
  }

  set onFault(listen: (firstPage: number, pageCount: number) => void) {
    this.#ram.onFault = listen;
  }

  get onFault(): (firstPage: number, pageCount: number) => void {
    return this.#ram.onFault;
  }

  readPages(firstPage: number, into: Uint8Array): void {
    readPadded(this.#file, firstPage * this.#pageBytes, into);
  }

  writePages(firstPage: number, from: Uint8Array): void {
    const position = firstPage * this.#pageBytes;
    writeUpTo(this.#file, position, from, this.#byteLength - position);
  }

  arrived(firstPage: number, pageCount: number): void {
    this.#ram.arrived(firstPage, pageCount);
  }

  faultReport(): Promise<FaultReport> {
    return this.#ram.faultReport();
  }

  async complete(): Promise<void> {}

  async salvage(): Promise<readonly string[]> {
    return [];
  }

  discard(): Promise<void> {
    return this.#ram.discard();
  }
}
