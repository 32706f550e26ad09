import { closeSync, rmSync } from "node:fs";
import { GuestError } from "../errors.js";
import { summarizeFaults } from "../faults.js";
import { readPadded } from "../file/descriptor.js";
import { deviceAt, fuseUnavailable } from "../fuse/mounting.js";
import type { FaultReport, LazyMemory } from "../guest.js";
import { LazyServerProcess } from "./connection.js";
import { MachineProcess } from "./machine-process.js";
import { RecordKind } from "./record.js";
import { salvageRegion } from "./salvage.js";
import { type LazyFile, openUnderlying, type UnderlyingFile } from "./underlying.js";

/** Options of {@link LazyRam.mount}. */
export interface LazyRamOptions {
  readonly files: readonly LazyFile[];
  readonly pageBytes: number;
  /** What was found and survived, as a sentence. */
  readonly onNotice: (sentence: string) => void;
}

/** What is asked for at once where the kernel reads ahead. */
const MAX_READ_BYTES: number = 1 << 20;

interface Region extends UnderlyingFile {
  readonly name: string;
  /** Its place among the files that are served. */
  readonly index: number;
  readonly firstPage: number;
}

/**
 * A machine's memory as files that are there before their content: each is a mount over a file of the same length, which takes up what arrives. A process of its
 * own serves them, and lives as long as the machine. Needs Linux and CAP_SYS_ADMIN.
 */
export class LazyRam implements LazyMemory {
  /** The files below the mounts, in the order in which they were given. */
  readonly files: readonly UnderlyingFile[];
  /** Called when they are about to be closed. */
  onClose: () => void = () => {};
  readonly #pageBytes: number;
  readonly #server: LazyServerProcess;
  readonly #waitsMs: number[] = [];
  /** Touched before somebody wanted to know. */
  #early: [file: number, firstPage: number, pageCount: number][] = [];
  #onFault: ((firstPage: number, pageCount: number) => void) | undefined;
  #regions: readonly Region[] = [];
  #isOpen = true;

  private constructor(files: readonly UnderlyingFile[], server: LazyServerProcess, options: LazyRamOptions) {
    this.files = files;
    this.#pageBytes = options.pageBytes;
    this.#server = server;
    server.onRecord = ({ kind, file, firstPage, pageCount, text }) => {
      if (kind === RecordKind.fault) this.#fault(file, firstPage, pageCount);
      else if (kind === RecordKind.waited) this.#waitsMs.push(pageCount / 1000);
      else if (text !== undefined) options.onNotice(text);
    };
  }

  /**
   * Mounts the files; QEMU may map them from then on. Throws `lazy-unavailable` where that cannot be done here, before anything is touched, and `argument`
   * where a file is there that has another length.
   */
  static async mount(options: LazyRamOptions): Promise<LazyRam> {
    const reason = fuseUnavailable();
    if (reason !== undefined) throw new GuestError("lazy-unavailable", reason);
    const { pageBytes, onNotice } = options;
    const files: UnderlyingFile[] = [];
    try {
      for (const file of options.files) files.push(await openUnderlying(file, onNotice));
      const served = files.map(({ path, byteLength, isNew }) => ({ path, byteLength, isNew }));
      const server = await LazyServerProcess.start({ pageBytes, maxReadBytes: MAX_READ_BYTES, files: served });
      return new LazyRam(files, server, options);
    } catch (error) {
      for (const { path, file, isNew } of files) {
        closeSync(file);
        if (isNew) rmSync(path, { force: true });
      }
      throw error;
    }
  }

  /** Numbers the pages through the files in the order of the machine's regions, each beginning with a page of its own. Throws `argument`. */
  arrange(regions: readonly { readonly name: string; readonly path: string }[]): void {
    let firstPage = 0;
    this.#regions = regions.map(({ name, path }) => {
      const index = this.files.findIndex((file) => file.path === path);
      const file = this.files[index];
      if (file === undefined) throw new GuestError("argument", `${path} is not served.`);
      const region = { ...file, name, index, firstPage };
      firstPage += Math.ceil(file.byteLength / this.#pageBytes);
      return region;
    });
  }

  set onFault(listen: (firstPage: number, pageCount: number) => void) {
    this.#onFault = listen;
    for (const early of this.#early.splice(0)) this.#fault(...early);
  }

  get onFault(): (firstPage: number, pageCount: number) => void {
    return this.#onFault ?? (() => {});
  }

  /** Throws `guest-failed` where the process that serves the memory has gone. */
  arrived(firstPage: number, pageCount: number): void {
    const region = this.#regions.filter((candidate) => candidate.firstPage <= firstPage).at(-1);
    if (region === undefined) throw new GuestError("argument", "The memory's pages have not been numbered.");
    this.#server.tell(RecordKind.arrived, region.index, firstPage - region.firstPage, pageCount);
  }

  /** The machine has ended, and what serves its memory with it. */
  get ended(): Promise<void> {
    return this.#server.ended;
  }

  /** The machine is about to run: from now on its memory is served until it ends. Rejects with `guest-failed`. */
  async commit(): Promise<void> {
    this.#server.tell(RecordKind.committed);
    await this.#server.settle();
  }

  /** Where the process that serves the memory has gone: what it told before. */
  async faultReport(): Promise<FaultReport> {
    await this.#server.settle().catch(() => {});
    return summarizeFaults(this.#waitsMs);
  }

  /** Rejects with `guest-failed` where the process that serves the memory has gone. */
  async complete(): Promise<void> {
    if (!this.#isOpen) return;
    await this.#server.settle();
    this.#server.letGo();
    this.#close();
  }

  /** No machine will run: the mounts have gone when this resolves, and so have the files that were made. */
  async discard(): Promise<void> {
    if (!this.#isOpen) return;
    await this.#server.end();
    this.#close();
  }

  /** Only what the machine's process has is told by Linux, and only to root. Throws `guest-failed` and `image`; the machine stands still then. */
  async salvage(folder: string, isMissing: (page: number) => boolean): Promise<readonly string[]> {
    const lost = this.#regions.map((region) => ({
      ...region,
      process: MachineProcess.find(deviceAt(region.path) ?? ""),
    }));
    for (const { process } of lost) await process.stop();
    const written: string[] = [];
    for (const { file, firstPage, ...region } of lost) {
      const read = (position: number, into: Uint8Array): void => readPadded(file, position, into);
      const isMissingHere = (page: number): boolean => isMissing(firstPage + page);
      const found = { ...region, pageBytes: this.#pageBytes, read, isMissing: isMissingHere };
      written.push(...(await salvageRegion(found, folder)));
    }
    for (const { process } of lost) await process.kill();
    await this.discard();
    return written;
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.onClose();
    for (const { file } of this.files) closeSync(file);
  }

  #fault(index: number, firstPage: number, pageCount: number): void {
    const region = this.#regions.find((candidate) => candidate.index === index);
    if (this.#onFault === undefined || region === undefined) this.#early.push([index, firstPage, pageCount]);
    else this.#onFault(region.firstPage + firstPage, pageCount);
  }
}
