import { closeSync, read, writev, writevSync } from "node:fs";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import { GuestError } from "../errors.js";
import { isDying } from "./dying.js";
import { kernelPageBytes } from "./kernel-page.js";
import { forgetMount, rememberMount } from "./leaving.js";
import { encodeStore } from "./message.js";
import {
  fuseUnavailable,
  type MountPoint,
  mountOver,
  type OwnMount,
  openDevice,
  prepareMountPoint,
  removeMountPoint,
  unmount,
} from "./mounting.js";
import { type FuseRead, FuseSession } from "./session.js";

/** Options of {@link FuseFile.mount}. */
export interface FuseFileOptions {
  /** Where the file appears: a regular file, which is hidden meanwhile; one is made for the time where there is none. */
  readonly path: string;
  readonly byteLength: number;
  /** The most bytes that the kernel asks for at once, where it reads ahead: whole pages of the kernel (4 KiB, elsewhere than on x86-64 up to 64 KiB), 1 MiB at most. */
  readonly maxReadBytes: number;
  /** Called with everything that somebody waits for. */
  readonly onRead: (read: FuseRead) => void;
  /** What was found and survived, as a sentence. */
  readonly onNotice: (sentence: string) => void;
}

const MAX_READ_BYTES: number = 1 << 20;
/** The least that the kernel takes: `FUSE_MIN_READ_BUFFER`. Writes, which may be longer, are refused before they get here. */
const REQUEST_BYTES = 8192;
/** writev(2) takes 1024 parts; an answer must be one call. */
const MAX_PARTS = 1000;

/** How many requests are waited for at once. */
const READERS = 1;

const writeParts = promisify(writev);

/**
 * A file whose content this process gives when it is asked for: a mount of FUSE over one regular file. Whoever maps it privately reads from here and keeps
 * what it writes to itself; it cannot be written to. Needs Linux and CAP_SYS_ADMIN. This process must never touch the file itself but asynchronously: it would
 * wait for its own answer. Each mounted file takes up one of libuv's threads.
 */
export class FuseFile {
  /** It was opened, and the last one who had it open has closed it; or the mount was taken away. */
  readonly released: Promise<void>;
  readonly #options: FuseFileOptions;
  readonly #device: number;
  readonly #session: FuseSession;
  readonly #point: MountPoint;
  readonly #mount: OwnMount;
  /** The kernel has let go, and the device is closed. */
  readonly #ended: Promise<void>;
  #isOpen = true;
  #unmounting: Promise<void> | undefined;
  #stored: Promise<unknown> = Promise.resolve();

  private constructor(options: FuseFileOptions, point: MountPoint, device: number, mount: OwnMount) {
    const { byteLength, maxReadBytes, onRead, onNotice } = options;
    const { mode, uid, gid } = point;
    this.#options = options;
    this.#point = point;
    this.#device = device;
    this.#mount = mount;
    this.#session = new FuseSession({
      attributes: { byteLength, mode, uid, gid, seconds: Math.floor(Date.now() / 1000) },
      maxReadBytes,
      kernelPageBytes: kernelPageBytes(),
      write: (parts) => this.#write(parts),
      onRead,
      isDying,
      onNotice,
    });
    this.released = this.#session.released;
    this.#ended = this.#serve();
  }

  /**
   * Mounts a file; it is there when this resolves. What a killed server left mounted at its path is removed first, and told. Throws `lazy-unavailable` where
   * that cannot be done here, before anything is touched, and `argument`.
   */
  static async mount(options: FuseFileOptions): Promise<FuseFile> {
    const { path, byteLength, maxReadBytes, onNotice } = options;
    if (!(Number.isSafeInteger(byteLength) && byteLength > 0)) {
      throw new GuestError("argument", `A file has a whole number of bytes above 0, not ${byteLength}.`);
    }
    const reason = fuseUnavailable();
    if (reason !== undefined) throw new GuestError("lazy-unavailable", reason);
    const pageBytes = kernelPageBytes();
    if (!(maxReadBytes >= pageBytes && maxReadBytes <= MAX_READ_BYTES && maxReadBytes % pageBytes === 0)) {
      const range = `a multiple of ${pageBytes} from ${pageBytes} to ${MAX_READ_BYTES}`;
      throw new GuestError("argument", `maxReadBytes must be ${range}, not ${maxReadBytes}.`);
    }
    const point = await prepareMountPoint(path, onNotice);
    let device: number | undefined;
    let file: FuseFile | undefined;
    try {
      device = openDevice();
      const mount = await mountOver(point.path, device);
      file = new FuseFile(options, point, device, mount);
      await file.#session.ready;
      // The kernel throws away what is stored before it knows the file's length.
      await stat(point.path);
      return file;
    } catch (error) {
      if (file !== undefined) await file.unmount();
      else if (device !== undefined) closeSync(device);
      removeMountPoint(point);
      throw error;
    }
  }

  /**
   * Puts whole pages into what the kernel holds of the file, so that nobody asks for them. They are not to change until this resolves, which may take until a read
   * of the same pages has been answered. What the kernel does not take it asks for later.
   */
  store(offset: number, bytes: Uint8Array): Promise<void> {
    const storing = this.#stored.then(async () => {
      if (this.#isOpen) await writeParts(this.#device, [encodeStore(offset, bytes.length), bytes]);
    });
    const stored = storing.catch(() => {});
    this.#stored = stored;
    return stored;
  }

  /** Resolves when nobody has it open: perhaps at once. */
  async closed(): Promise<void> {
    if (!this.#session.isOpen) return;
    await new Promise<void>((resolve) => {
      this.#session.onClose = resolve;
    });
  }

  /** Takes the mount away, also where the file is open: reads that are unanswered fail then. Calling it again changes nothing. */
  unmount(): Promise<void> {
    this.#unmounting ??= this.#leave();
    return this.#unmounting;
  }

  async #leave(): Promise<void> {
    await unmount(this.#mount);
    await this.#ended;
    removeMountPoint(this.#point);
  }

  async #serve(): Promise<void> {
    rememberMount(this.#mount);
    await Promise.all(Array.from({ length: READERS }, () => this.#listen()));
    this.#isOpen = false;
    this.#session.end();
    await this.#stored;
    closeSync(this.#device);
    forgetMount(this.#mount);
  }

  /** Takes requests until there are none any more. */
  #listen(): Promise<void> {
    const buffer = new Uint8Array(REQUEST_BYTES);
    return new Promise((resolve) => {
      const next = (): void => {
        read(this.#device, buffer, 0, buffer.length, null, (error, byteLength) => {
          // The one who asked may have gone before the request was taken.
          if (error !== null && error.code !== "ENOENT") return resolve();
          if (error === null) this.#session.take(buffer.subarray(0, byteLength));
          next();
        });
      };
      next();
    });
  }

  #write(parts: readonly Uint8Array[]): void {
    if (!this.#isOpen) return;
    try {
      writevSync(this.#device, parts.length > MAX_PARTS ? [Buffer.concat(parts)] : parts);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // The one who asked has gone, or the mount has.
      if (code !== "ENOENT" && code !== "ENODEV") this.#options.onNotice(`An answer was not taken: ${message}.`);
    }
  }
}
